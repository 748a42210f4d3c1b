"""Questions and set-based changes that can be made to messages, and to the engine's own rows."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections, models
from django.db.models import CharField, Count, Q
from django.db.models.functions import Cast

from messages_app.sql import index_scans_only

if TYPE_CHECKING:
    from messages_app.models import (  # noqa: F401  # named in strings below
        Doorbell,
        Heartbeat,
        Lease,
        Message,
        SendingControl,
    )

CHUNK = 10_000  # rows that one statement changes at most
BEAT = timedelta(seconds=5)  # between two signs of life


class MessageQuerySet(models.QuerySet["Message"]):
    """Messages, as phrases."""

    def due(self, now: datetime) -> "MessageQuerySet":
        """Keep those whose next attempt may be made now."""
        return self.unleased().filter(next_attempt_at__lte=now)

    def count_up_to(self, limit: int) -> int:
        """Count unfinished messages of one mailing; look at no more of its queue than needed."""
        with index_scans_only():
            return self.order_by("mailing_id", "next_attempt_at")[:limit].count()

    def lock(self, limit: int) -> list[int]:
        """Lock the first of one mailing's queue until the transaction ends; return their ids."""
        with index_scans_only():
            queue = self.order_by("mailing_id", "next_attempt_at").select_for_update()
            return list(queue.values_list("pk", flat=True)[:limit])

    def unleased(self) -> "MessageQuerySet":
        """Keep those that no delivery holds."""
        return self.filter(lease_until=None)

    def leased(self) -> "MessageQuerySet":
        """Keep those that a delivery holds: they may be on their way to the sender."""
        return self.exclude(lease_until=None)

    def leased_under(self, lease: "Lease") -> "MessageQuerySet":
        """Keep those that a delivery holds under this lease."""
        return self.leased().unfinished().filter(mailing=lease.mailing_id, lease_token=lease.token)

    def unfinished(self) -> "MessageQuerySet":
        """Keep those that are neither sent nor given up."""
        return self.filter(next_attempt_at__isnull=False)

    def unconfirmed(self) -> "MessageQuerySet":
        """Keep those of which nobody knows whether they arrived, and that are not tried again."""
        return self.filter(status="fail", error_code="unconfirmed", next_attempt_at=None)

    def by_zone(self) -> dict[str, list[int]]:
        """Return {time zone of the client: ids of messages}."""
        zones: dict[str, list[int]] = {}
        # As text, because the field refuses a name that this machine does not know.
        rows = self.order_by().values_list("pk", Cast("client__timezone", CharField()))
        for pk, zone in rows:
            zones.setdefault(zone or "", []).append(pk)
        return zones

    def update_in_chunks(self, **values: Any) -> int:
        """Update bounded numbers of rows, each committed by itself; count them all.

        The values must take the rows out of this queryset, or it would never end. Its own
        conditions are checked again on each row, should another worker be faster.
        """
        total = 0
        while count := self.filter(pk__in=self.order_by().values("pk")[:CHUNK]).update(**values):
            total += count
        return total

    def count_by_status(self) -> dict[str, int]:
        """Return {status: number of messages}, without the statuses that nothing has."""
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
        """Keep those that are still counted on to be heard."""
        return self.filter(expires_at__gt=now)

    def ring(
        self, *, mailing_id: int, lanes: Sequence[int], now: datetime, expires_at: datetime
    ) -> list[int]:
        """Take the lanes that no live doorbell has; return those to be rung."""
        moment = connections[self.db].ops.adapt_datetimefield_value
        table = connections[self.db].ops.quote_name(self.model._meta.db_table)
        values = ", ".join(["(%s, %s, %s)"] * len(lanes))
        params = [x for lane in lanes for x in (mailing_id, lane, moment(expires_at))]
        with connections[self.db].cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} (mailing_id, lane, expires_at) VALUES {values}"
                " ON CONFLICT (mailing_id, lane) DO UPDATE SET expires_at = excluded.expires_at"
                f" WHERE {table}.expires_at <= %s RETURNING lane",
                [*params, moment(now)],
            )
            return [lane for (lane,) in cursor.fetchall()]


class LeaseQuerySet(models.QuerySet["Lease"]):
    """Leases, as phrases."""

    def expired(self, now: datetime) -> "LeaseQuerySet":
        """Keep those whose delivery did not come back in time."""
        return self.filter(expires_at__lte=now)


class SendingControlQuerySet(models.QuerySet["SendingControl"]):
    """The one row of what holds all sending back, as phrases."""

    def current(self) -> "SendingControl":
        """Return the row as it is now; where it is missing (an emptied table), nothing blocks."""
        return self.get_or_create(pk=1)[0]

    def take_probe(self, now: datetime, *, until: datetime) -> bool:
        """Take the right to try one message while the breaker is open; one taker at a time.

        The next can take it at `until`, should this one not come back.
        """
        probe = Q(is_paused=False, opened_at__isnull=False, probe_at__lte=now)
        return self.filter(probe).update(probe_at=until) > 0


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    """Signs of life, as phrases."""

    def beat(self, name: str, now: datetime) -> None:
        """Leave a sign of life, unless the last one is fresh."""
        known = self.filter(name=name)
        if known.filter(at__gt=now - BEAT).exists() or known.update(at=now):
            return
        self.bulk_create([self.model(name=name, at=now)], ignore_conflicts=True)
