"""Queries and set-based updates of messages, and of the engine's own rows."""

from collections.abc import Collection
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

from django.db import models, transaction
from django.db.models import Case, CharField, Count, F, Max, Q, When
from django.db.models.functions import Cast

from messages_app.sql import Statement, moment_value, run, table_of

if TYPE_CHECKING:
    from messages_app.models import (  # noqa: F401  # named in strings below
        Doorbell,
        Heartbeat,
        Lease,
        Line,
        Message,
        SendingControl,
    )

BEAT = timedelta(seconds=5)  # between two heartbeats
# An earlier version writes only `at`, so that it differs from `own_at`.
FORMER_AT = Case(When(at=F("own_at"), then=F("former_at")), default=F("at"))


class MessageQuerySet(models.QuerySet["Message"]):
    """Messages, as phrases."""

    def due(self, now: datetime) -> "MessageQuerySet":
        """Keep those that may be claimed now: unleased, and their next attempt is due."""
        return self.unleased().filter(next_attempt_at__lte=now)

    def with_sender_id(self) -> "MessageQuerySet":
        """Read with them what `Message.sender_id` needs of their mailings."""
        return self.select_related("mailing").defer("mailing__text", "mailing__filters")

    def of_present_mailings(self) -> "MessageQuerySet":
        """Leave out those of deleted mailings, which are cleared away step by step."""
        return self.filter(mailing__deleted_at=None)

    def queued(self) -> "MessageQuerySet":
        """Keep those in the queue, the oldest of a mailing first."""
        return self.unfinished().filter(queued_at__isnull=False).order_by("mailing_id", "queued_at")

    def in_line(self, *, behind: int) -> "MessageQuerySet":
        """Keep those in line behind a client, given by its id; the next of a mailing first."""
        waiting = self.unfinished().filter(queued_at=None, client__gt=behind)
        return waiting.order_by("mailing_id", "client_id")

    def schedule(self, at: datetime | F | None, **values: Any) -> int:
        """Have them wait in the queue for their next attempt, or have none; count them."""
        return self.update(next_attempt_at=at, queued_at=at, **values)

    def unleased(self) -> "MessageQuerySet":
        """Keep those that no delivery has leased."""
        return self.filter(lease_until=None)

    def leased(self) -> "MessageQuerySet":
        """Keep those that a delivery has leased: they may be on their way to the sender."""
        return self.exclude(lease_until=None)

    def leased_under(self, lease: "Lease") -> "MessageQuerySet":
        """Keep those that are leased under this lease and unfinished."""
        return self.leased().unfinished().filter(mailing=lease.mailing_id, lease_token=lease.token)

    def unfinished(self) -> "MessageQuerySet":
        """Keep those that have a next attempt."""
        return self.filter(next_attempt_at__isnull=False)

    def failed_for_good(self, codes: Collection[str] | None = None) -> "MessageQuerySet":
        """Keep those that failed and are not tried again: all, or those with these reasons."""
        failed = self.unleased().filter(status="fail", next_attempt_at=None)
        return failed if codes is None else failed.filter(error_code__in=codes)

    def unconfirmed(self) -> "MessageQuerySet":
        """Keep those that may have arrived and are not retried: an operator has to decide."""
        return self.filter(status="fail", error_code="unconfirmed", next_attempt_at=None)

    def having_standing(self, standing: str) -> "MessageQuerySet":
        """Keep those that an operator counts as `Standing` says; of an unknown word, none."""
        failed = Q(status="fail") & ~Q(error_code="")  # Only these have an index.
        for_good = failed & Q(next_attempt_at=None)
        conditions = {
            "sent": Q(status="success"),
            "waiting": Q(status="pending"),
            "retried": failed & Q(next_attempt_at__isnull=False),
            "failed": for_good & ~Q(error_code="unconfirmed"),
            "unknown": for_good & Q(error_code="unconfirmed"),
        }
        return self.filter(conditions[standing]) if standing in conditions else self.none()

    def by_zone(self) -> dict[str, list[int]]:
        """Return {client's time zone: ids of messages}; "" stands for a deleted client."""
        zones: dict[str, list[int]] = {}
        # As text, because the field refuses the name of a zone that this machine does not have.
        rows = self.order_by().values_list("pk", Cast("client__timezone", CharField()))
        for pk, zone in rows:
            zones.setdefault(zone or "", []).append(pk)
        return zones

    def count_by_status(self) -> dict[str, int]:
        """Return {status: number of messages}; a status that no message has is left out."""
        rows = self.order_by().values_list("status").annotate(Count("pk"))
        return dict(rows)

    def count_by_mailing(self) -> dict[int, dict[str, int]]:
        """Return {mailing id: {status: number of messages}}, in one query."""
        by_mailing: dict[int, dict[str, int]] = {}
        rows = self.order_by().values_list("mailing", "status").annotate(Count("pk"))
        for mailing, status, number in rows:
            by_mailing.setdefault(mailing, {})[status] = number
        return by_mailing


class DoorbellQuerySet(models.QuerySet["Doorbell"]):
    """Doorbells, as phrases."""

    def live(self, now: datetime) -> "DoorbellQuerySet":
        """Keep those that have not expired: their task is expected to run."""
        return self.filter(expires_at__gt=now)

    def waiting(self, now: datetime) -> "DoorbellQuerySet":
        """Keep those that no delivery has answered yet."""
        return self.live(now).filter(is_answered=False)

    def count_waiting(self, besides: Collection[int], now: datetime) -> int:
        """Count those that no delivery has answered yet, of other mailings than these.

        Written by hand: each delivery asks ten times a second.
        """
        others = "".join(f" AND mailing_id != {pk:d}" for pk in besides)
        waiting = "expires_at > %s AND NOT is_answered"
        sql = f"SELECT count(*) FROM {table_of(self.model)} WHERE {waiting}{others}"
        ((row,),) = run(Statement(sql, [moment_value(now)]))
        return int(row[0])

    def answer(self, most: int) -> list[tuple[int, int]]:
        """Mark some of these as answered, one of a mailing; return (mailing's id, lane) of each.

        They are at most so many, the oldest first. Those that another delivery is just answering
        are left to it.
        """
        with transaction.atomic(self.db):
            rows = self.order_by("pk").select_for_update(skip_locked=True)[:most]
            bells = {bell.mailing_id: bell for bell in reversed(list(rows))}
            self.filter(pk__in=[bell.pk for bell in bells.values()]).update(is_answered=True)
        return [(bell.mailing_id, bell.lane) for bell in bells.values()]

    def ring(
        self, lanes: Collection[tuple[int, int]], *, now: datetime, expires_at: datetime
    ) -> list[tuple[int, int]]:
        """Save a doorbell in each lane that has no live one; return these lanes.

        A lane is (mailing's id, its number).
        """
        table = table_of(self.model)
        values = ", ".join(["(%s, %s, %s, false)"] * len(lanes))
        params = [x for lane in sorted(lanes) for x in (*lane, moment_value(expires_at))]
        insert = Statement(
            f"INSERT INTO {table} (mailing_id, lane, expires_at, is_answered) VALUES {values}"
            " ON CONFLICT (mailing_id, lane) DO UPDATE"
            " SET expires_at = excluded.expires_at, is_answered = false"
            f" WHERE {table}.expires_at <= %s RETURNING mailing_id, lane",
            [*params, moment_value(now)],
        )
        return [(mailing_id, lane) for mailing_id, lane in chain(*run(insert))]


class LineQuerySet(models.QuerySet["Line"]):
    """Lines, as phrases."""

    def passed(self, mailing_id: int) -> int:
        """Return the id of the last client whose message was claimed in line; 0 at first."""
        found: int | None = self.filter(pk=mailing_id).values_list("passed", flat=True).first()
        return found or 0

    def lock(self, mailing_id: int) -> "Line":
        """Return a mailing's line, locked until the transaction ends; it is made if need be."""
        self.make_missing([mailing_id])
        return self.select_for_update().get(pk=mailing_id)

    def make_missing(self, mailing_ids: Collection[int]) -> bool:
        """Make the lines of mailings that have none yet. Returns whether there were such."""
        known = self.filter(pk__in=mailing_ids).values_list("pk", flat=True)
        missing = set(mailing_ids).difference(known)
        self.bulk_create([self.model(mailing_id=pk) for pk in missing], ignore_conflicts=True)
        return bool(missing)

    def lengthen(self, *mailing_ids: int) -> None:
        """Say that messages of mailings stand in line again, at its end."""
        self.bulk_create(
            [self.model(mailing_id=pk) for pk in sorted(mailing_ids)],
            update_conflicts=True,
            unique_fields=["mailing"],
            update_fields=["is_empty"],
        )


class LeaseQuerySet(models.QuerySet["Lease"]):
    """Leases, as phrases."""

    def expired(self, now: datetime) -> "LeaseQuerySet":
        """Keep those whose time is over, although their delivery has not ended."""
        return self.filter(expires_at__lte=now)


class SendingControlQuerySet(models.QuerySet["SendingControl"]):
    """The one row of sending control, as phrases."""

    def current(self) -> "SendingControl":
        """Return the row as it is now; a missing one (an emptied table) is created anew."""
        return self.get_or_create(pk=1)[0]

    def read(self) -> "SendingControl":
        """Return the same as `current`, in half of its time: a delivery looks so often."""
        rows = self.raw(f"SELECT * FROM {table_of(self.model)} WHERE id = 1")
        return next(iter(rows), None) or self.current()

    def take_probe(self, now: datetime, *, until: datetime) -> bool:
        """Claim the open breaker's probe; False if none is due or another worker has claimed it.

        Should the probe's result never be recorded, the next probe can be claimed at `until`.
        """
        probe = Q(is_paused=False, opened_at__isnull=False, probe_at__lte=now)
        return self.filter(probe).update(probe_at=until) > 0


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    """Heartbeats, as phrases."""

    def beat(self, name: str, now: datetime) -> None:
        """Save a component's heartbeat, unless the last one is younger than BEAT."""
        known = self.filter(name=name)
        own = known.filter(own_at__gt=now - BEAT, at=F("own_at"))
        if own.exists() or known.update(at=now, own_at=now, former_at=FORMER_AT):
            return
        self.bulk_create([self.model(name=name, at=now, own_at=now)], ignore_conflicts=True)

    def last_of_former(self) -> datetime | None:
        """Return when a worker of an earlier version was last seen, which keeps no ledger."""
        moment: datetime | None = self.aggregate(at=Max(FORMER_AT))["at"]
        return moment
