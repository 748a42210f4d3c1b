"""Queries of mailings."""

from collections.abc import Iterable
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q

from messages_app.sql import Statement, moment_value, run, table_of

if TYPE_CHECKING:
    from mailings.models import Mailing  # noqa: F401  # named in a string below
    from messages_app.mailing_snapshot import MailingSnapshot


class MailingQuerySet(models.QuerySet["Mailing"]):
    """Mailings, as phrases."""

    def deleted(self) -> "MailingQuerySet":
        """Keep those that are deleted and not cleared away yet."""
        return self.exclude(deleted_at=None)

    def to_requeue(self) -> "MailingQuerySet":
        """Keep those of which messages are to be made due again after an edit."""
        not_over = self.filter(status__in=("scheduled", "running", "paused"))
        return not_over.exclude(deferred_up_to=None, failed_up_to=None)

    def to_confirm(self) -> "MailingQuerySet":
        """Keep those of which messages are to be made a success that an operator confirmed."""
        return self.filter(confirmed_up_to__isnull=False)

    def to_state(self, before: datetime) -> "MailingQuerySet":
        """Keep those of which a statement is to be made: nothing has changed since a moment."""
        return self.filter(result_changed_at__lte=before).order_by("result_changed_at")

    def to_resend(self, original_id: int) -> "MailingQuerySet":
        """Keep those that resend this mailing, are not over and not planned to the end yet."""
        unplanned = self.open().exclude(status="cancelled").filter(last_run_time=None)
        return unplanned.filter(resends=original_id)

    def open(self) -> "MailingQuerySet":
        """Keep those that are not closed: their messages may still change."""
        return self.filter(success_count=None)

    def accepting_messages(self) -> "MailingQuerySet":
        """Keep those that messages can be added to: not closed, not cancelled, and no drafts."""
        return self.open().exclude(status__in=("cancelled", "draft"))

    def drafts(self) -> "MailingQuerySet":
        """Keep those that were not launched yet."""
        return self.filter(status="draft")

    def closed(self) -> "MailingQuerySet":
        """Keep those that are closed: their counts are final."""
        return self.exclude(success_count=None)

    def to_start(self, now: datetime) -> "MailingQuerySet":
        """Keep the scheduled ones between start and stop time."""
        return self.filter(status="scheduled", start_time__lte=now, stop_time__gt=now)

    def is_any_to_start(self, now: datetime) -> bool:
        """Tell whether there is one `to_start`. Written by hand, like `still_running`."""
        moment = moment_value(now)
        (rows,) = run(
            Statement(
                f"SELECT 1 FROM {table_of(self.model)} WHERE status = 'scheduled'"
                " AND start_time <= %s AND stop_time > %s AND deleted_at IS NULL LIMIT 1",
                [moment, moment],
            )
        )
        return bool(rows)

    def running(self, now: datetime) -> "MailingQuerySet":
        """Keep the running ones between start and stop time."""
        return self.filter(status="running", start_time__lte=now, stop_time__gt=now)

    def still_running(self, known: Iterable["MailingSnapshot"], now: datetime) -> list[int]:
        """Return the ids of those that are `running` and were not edited since their snapshot.

        Written by hand: each delivery asks ten times a second.
        """
        versions = [(each.id, moment_value(each.version)) for each in known]
        if not versions:
            return []
        same = " OR ".join(["id = %s AND updated_at = %s"] * len(versions))
        (rows,) = run(
            Statement(
                f"SELECT id FROM {table_of(self.model)} WHERE ({same}) AND status = 'running'"
                " AND start_time <= %s AND stop_time > %s AND deleted_at IS NULL",
                [*chain(*versions), moment_value(now), moment_value(now)],
            )
        )
        return [pk for (pk,) in rows]

    def to_plan(self, now: datetime) -> "MailingQuerySet":
        """Keep the running ones last planned MAILING_REPEAT_TIMEOUT ago or earlier, or never.

        One that resends another is planned once, when the other is closed: what failed is known
        then, and does not change.
        """
        repeat_at = now - settings.MAILING_REPEAT_TIMEOUT
        stale = Q(last_run_time=None) | Q(resends=None, last_run_time__lte=repeat_at)
        original = self.model.including_deleted.open().filter(pk=OuterRef("resends"))
        return self.running(now).filter(stale).exclude(Exists(original))

    def with_numbers(self, *, before: datetime) -> "MailingQuerySet":
        """Keep those that are closed, were over before a moment, and whose messages have numbers.

        One that ended before its stop time counts from that.
        """
        is_left = Q(numbers_forgotten_up_to=None)
        is_left |= Q(numbers_forgotten_up_to__lt=models.BigIntegerField.MAX_BIGINT)
        over = Q(stop_time__lt=before, updated_at__lt=before)
        return self.filter(is_left, over, success_count__isnull=False).order_by("stop_time")

    def to_close(self, now: datetime) -> "MailingQuerySet":
        """Keep those that are past their stop time or cancelled, and not closed yet."""
        over = Q(stop_time__lte=now, status__in=("scheduled", "running", "paused"))
        return self.open().filter(over | Q(status="cancelled"))


_Manager = models.Manager.from_queryset(MailingQuerySet)


class MailingManager(_Manager["Mailing"]):
    """Mailings that are not deleted."""

    def get_queryset(self) -> MailingQuerySet:
        """Return those that are not deleted."""
        return MailingQuerySet(self.model, using=self._db).filter(deleted_at=None)
