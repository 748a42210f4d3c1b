"""The schedules by which beat starts a mailing on time, and not only at the next tick."""

import json
from datetime import datetime

from django_celery_beat.models import ClockedSchedule, PeriodicTask

from mailings.models import Mailing


def schedule_start(mailing: Mailing, now: datetime) -> None:
    """Have beat queue start_mailing at the mailing's start time, and not only at the next tick.

    It has no schedule yet. One that starts at once needs none.
    """
    if mailing.status == Mailing.Status.SCHEDULED and mailing.start_time > now:
        clocked = ClockedSchedule.objects.create(clocked_time=mailing.start_time)
        PeriodicTask.objects.create(
            name=_schedule_name(mailing),
            task="start_mailing",
            args=json.dumps([mailing.pk]),
            clocked=clocked,
            one_off=True,
        )


def forget_schedule(mailing: Mailing) -> None:
    """Delete a mailing's schedule, if it has one."""
    # Its PeriodicTask is deleted by cascade.
    ClockedSchedule.objects.filter(periodictask__name=_schedule_name(mailing)).delete()


def _schedule_name(mailing: Mailing) -> str:
    return f"start mailing {mailing.pk} on time"
