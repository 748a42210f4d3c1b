"""Questions and set-based changes that can be made to all messages.

What the engine does to thousands of rows at once is one SQL statement each, built from
querysets where the ORM can say it; the same statements run on Postgres and on SQLite.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections, models, transaction
from django.db.models import BooleanField, Case, Count, Exists, F, Q, Value, When
from django.db.models.functions import Coalesce

from clients.querysets import Filters, matching

if TYPE_CHECKING:
    from clients.models import Client
    from mailings.querysets import MailingQuerySet
    from messages_app.models import Doorbell, Message  # noqa: F401  # named in strings below

DETOURS = ("seqscan", "bitmapscan", "hashjoin", "mergejoin", "sort")
BY_INDEX = "SELECT " + ", ".join(f"set_config('enable_{way}', 'off', true)" for way in DETOURS)
CHUNK = 10_000  # rows that one statement changes at most


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message leased to one delivery: what the sender needs to know of it."""

    id: int
    phone_number: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to, as it is written to the message.

    `next_attempt_at` None means that there will be no other attempt.
    """

    id: int
    status: str
    at: datetime
    next_attempt_at: datetime | None = None
    error_code: str = ""
    error: str = ""


def running_mailings(now: datetime) -> "MailingQuerySet":
    """Return the mailings that are being delivered, from the room above."""
    return apps.get_model("mailings", "Mailing").objects.running(now)


class MessageQuerySet(models.QuerySet["Message"]):
    """Messages, as phrases."""

    def due(self, now: datetime) -> "MessageQuerySet":
        """Keep those whose next attempt may be made now."""
        return self.free(now).filter(next_attempt_at__lte=now)

    def deliverable(self, now: datetime) -> "MessageQuerySet":
        """Keep the due ones of mailings that are running and inside their time."""
        return self.due(now).filter(mailing__in=running_mailings(now))

    def free(self, now: datetime) -> "MessageQuerySet":
        """Keep those that no delivery holds, or none that came back in time."""
        return self.filter(Q(lease_until=None) | Q(lease_until__lte=now))

    def leased(self, now: datetime) -> "MessageQuerySet":
        """Keep those that a delivery holds: they may be on their way to the sender."""
        return self.filter(lease_until__gt=now)

    def unfinished(self) -> "MessageQuerySet":
        """Keep those that are neither sent nor given up."""
        return self.filter(next_attempt_at__isnull=False)

    def update_in_chunks(self, **values: Any) -> int:
        """Update bounded numbers of rows, each committed by itself; count them all.

        The values must take the rows out of this queryset, or it would never end. Its own
        conditions are checked again on each row, should another worker be faster.
        """
        total = 0
        while count := self.filter(pk__in=self.order_by().values("pk")[:CHUNK]).update(**values):
            total += count
        return total

    def release(self, ids: Sequence[int], *, token: int) -> int:
        """Give back messages that were claimed but not handed to the sender."""
        return self.filter(pk__in=ids, lease_token=token).update(
            lease_token=None, lease_until=None, attempts=F("attempts") - 1
        )

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

    def plan(self, *, mailing_id: int, audience: "models.QuerySet[Client]", now: datetime) -> int:
        """Add a pending message for every client of the audience that has none; count them."""
        values: dict[str, Any] = {
            "mailing_id": mailing_id,
            "client_id": F("pk"),
            "status": "pending",
            "created_at": now,
            "next_attempt_at": now,
            "attempts": 0,
            "error_code": "",
            "error": "",
            "phone_number": F("phone_number"),
            "is_manual": False,
        }
        # SQLite takes ON CONFLICT for a join's ON, unless a WHERE stands before it.
        rows = (
            audience.order_by()
            .filter(pk__isnull=False)
            .annotate(
                **{
                    f"_{name}": value if isinstance(value, F) else Value(value)
                    for name, value in values.items()
                }
            )
        )
        sql, params = rows.values_list(*(f"_{name}" for name in values)).query.sql_with_params()
        # The clients are locked against deletion until their messages are committed.
        lock = " FOR KEY SHARE" if self._is_postgres else ""
        with connections[self.db].cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {self._table()} ({', '.join(values)}) {sql}{lock}"
                " ON CONFLICT (mailing_id, client_id) DO NOTHING",
                params,
            )
            return int(cursor.rowcount)

    def claim(
        self,
        *,
        mailing_id: int,
        limit: int,
        filters: Filters,
        unchanged_since: datetime,
        token: int,
        lease_until: datetime,
        recheck_at: datetime,
        now: datetime,
    ) -> list[Claimed]:
        """Lease a running mailing's next due messages that its filters select; return them.

        Due messages that match no longer are put off until `recheck_at` instead. Nothing is
        claimed when the mailing was edited after `unchanged_since`: text and filters are those
        of the moment of the claim.
        """
        unchanged = running_mailings(now).filter(pk=mailing_id, updated_at=unchanged_since)
        due = self.due(now).filter(Exists(unchanged), mailing=mailing_id)
        table = self._table()
        with self._by_index() as cursor:
            sql, params = due._next(limit, filters).query.sql_with_params()
            cursor.execute(
                f"""
                WITH due (id, matches, number) AS ({sql})
                UPDATE {table} SET
                    lease_token = CASE WHEN due.matches THEN %s END,
                    lease_until = CASE WHEN due.matches THEN %s END,
                    next_attempt_at = CASE WHEN due.matches THEN next_attempt_at ELSE %s END,
                    attempts = attempts + CASE WHEN due.matches THEN 1 ELSE 0 END,
                    phone_number = CASE WHEN due.matches THEN due.number ELSE phone_number END
                FROM due WHERE {table}.id = due.id
                RETURNING {table}.id, {table}.phone_number, {table}.lease_token
                """,
                [*params, token, self._moment(lease_until), self._moment(recheck_at)],
            )
            rows = cursor.fetchall()
        return [Claimed(pk, number) for pk, number, lease in rows if lease is not None]

    def _next(self, limit: int, filters: Filters) -> "models.QuerySet[Message, Any]":
        """Lock the first messages that nobody else has locked: (id, still matches, number)."""
        matches = Q(is_manual=True) | matching(filters, prefix="client__")
        return (
            self.annotate(
                matches=Case(
                    When(Q(client__isnull=False) & matches, then=Value(True)),
                    default=Value(False),
                    output_field=BooleanField(),
                ),
                number=Coalesce("client__phone_number", Value("")),
            )
            .order_by("mailing_id", "next_attempt_at")
            .select_for_update(of=("self",), skip_locked=True)
            .values_list("pk", "matches", "number")[:limit]
        )

    def record(self, outcomes: Sequence[Outcome], *, token: int) -> int:
        """Write what attempts came to and return their leases; count the messages written.

        A message whose lease went to another delivery meanwhile is left as it is.
        """
        sent = [outcome for outcome in outcomes if outcome.status == "success"]
        failed = [outcome for outcome in outcomes if outcome.status != "success"]
        return self._record_sent(sent, token) + self._record_failed(failed, token)

    def _record_sent(self, outcomes: Sequence[Outcome], token: int) -> int:
        """Write successes: the common case, and nothing but ids to hand over."""
        if not outcomes:
            return 0
        ids = ",".join(str(outcome.id) for outcome in outcomes)
        if self._is_postgres:
            condition, ids = "id = ANY (%s::bigint[])", f"{{{ids}}}"
        else:
            condition, ids = "id IN (SELECT value FROM json_each(%s))", f"[{ids}]"
        with self._by_index() as cursor:
            cursor.execute(
                f"UPDATE {self._table()} SET status = 'success', sent_at = %s, error_code = '',"
                " error = '', next_attempt_at = NULL, lease_token = NULL, lease_until = NULL"
                f" WHERE {condition} AND lease_token = %s",
                [self._moment(outcomes[-1].at), ids, token],
            )
            return int(cursor.rowcount)

    def _record_failed(self, outcomes: Sequence[Outcome], token: int) -> int:
        """Write everything else, each with its reason and the time of the next attempt."""
        if not outcomes:
            return 0
        answers = json.dumps(
            [
                {
                    "id": outcome.id,
                    "status": outcome.status,
                    "next_attempt_at": self._moment(outcome.next_attempt_at),
                    "error_code": outcome.error_code,
                    "error": outcome.error,
                }
                for outcome in outcomes
            ],
            default=datetime.isoformat,
        )
        table = self._table()
        with self._by_index() as cursor:
            cursor.execute(
                f"UPDATE {table} SET status = answer.status, error_code = answer.error_code,"
                " error = answer.error, next_attempt_at = answer.next_attempt_at,"
                f" lease_token = NULL, lease_until = NULL FROM {self._answers} AS answer"
                f" WHERE {table}.id = answer.id AND {table}.lease_token = %s",
                [answers, token],
            )
            return int(cursor.rowcount)

    @property
    def _answers(self) -> str:
        """The table that a JSON parameter is read as."""
        columns = {
            "id": "bigint",
            "status": "text",
            "next_attempt_at": "timestamptz",
            "error_code": "text",
            "error": "text",
        }
        if self._is_postgres:
            names = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            return f"(SELECT * FROM json_to_recordset(%s) AS r ({names}))"
        names = ", ".join(f"value ->> '{name}' AS {name}" for name in columns)
        return f"(SELECT {names} FROM json_each(%s))"

    @contextmanager
    def _by_index(self) -> Iterator[Any]:
        """Open a transaction in which Postgres finds rows by index, whatever it guesses.

        While the table is small or its statistics are old, it would rather read or sort all of
        it for each batch: many times the work at 100,000 messages.
        """
        with transaction.atomic(self.db), connections[self.db].cursor() as cursor:
            if self._is_postgres:
                cursor.execute(BY_INDEX)
            yield cursor

    @property
    def _is_postgres(self) -> bool:
        return connections[self.db].vendor == "postgresql"

    def _moment(self, moment: datetime | None) -> Any:
        """Return a moment as the database's driver takes it."""
        return connections[self.db].ops.adapt_datetimefield_value(moment)

    def _table(self) -> str:
        return connections[self.db].ops.quote_name(self.model._meta.db_table)


class DoorbellQuerySet(models.QuerySet["Doorbell"]):
    """Doorbells, as phrases."""

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
