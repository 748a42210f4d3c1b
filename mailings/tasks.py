"""The start_mailing and finish_mailing tasks: the minute's tick, and what it rings for."""

from functools import partial
from time import monotonic

from celery import shared_task
from django.db import transaction

from mailings import services
from mailings.models import Mailing
from messages_app.engine import recovery
from messages_app.models import Heartbeat
from messages_app.tasks import patience, ring
from toolkit import clock
from toolkit.publishing import publish

TIME_BOX = 2.0  # seconds of planning before other mailings have their turn


@shared_task(name="start_mailing")
def start_mailing(mailing_id: int | None = None) -> None:
    """Start, plan and ring for one mailing; without an id, for all that need it (the tick)."""
    with patience("Planning"):
        Heartbeat.objects.beat("start_mailing", clock.now())
        if mailing_id is None:
            _start_all()
        else:
            _start(mailing_id)


@shared_task(name="finish_mailing")
def finish_mailing(mailing_id: int | None = None) -> None:
    """Close one mailing that is over; without an id, all of them (the tick)."""
    with patience("Closing"):
        now = clock.now()
        if mailing_id is None:
            for pk in Mailing.objects.to_finish(now).values_list("pk", flat=True):
                publish(finish_mailing, pk)
        else:
            services.finish_mailing(mailing_id, now=now)


def ring_on_commit(mailing: Mailing) -> None:
    """Let a saved mailing take effect as soon as it is committed, not at the next tick."""
    task = finish_mailing if mailing.is_over else start_mailing
    transaction.on_commit(partial(publish, task, mailing.pk))


def _start(mailing_id: int) -> None:
    time = clock.Clock()
    services.start_mailing(mailing_id, now=time.now())
    ends_at = monotonic() + TIME_BOX
    while services.plan_chunk(mailing_id, now=time.now()):
        ring(mailing_id, now=time.now())
        if monotonic() > ends_at:
            publish(start_mailing, mailing_id)
            return
    ring(mailing_id, now=time.now())


def _start_all() -> None:
    now = clock.now()
    recovery.take_back_expired(now=now)
    for pk in services.mailings_to_visit(now).values_list("pk", flat=True).order_by("?"):
        publish(start_mailing, pk)
