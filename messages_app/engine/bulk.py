"""The engine's statements: what it does to thousands of messages at once is one of these.

Built from querysets where the ORM can say it; the same on Postgres and on SQLite.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps
from django.db import connections, models, transaction
from django.db.models import BooleanField, Case, CharField, DateTimeField, Exists, F, Q, Value, When
from django.db.models.functions import Cast, Coalesce

from clients.querysets import Filters, matching

if TYPE_CHECKING:
    from clients.models import Client
    from mailings.querysets import MailingQuerySet
    from messages_app.models import Message  # named in a string below

DETOURS = ("seqscan", "bitmapscan", "hashjoin", "mergejoin", "sort")
BY_INDEX = "SELECT " + ", ".join(f"set_config('enable_{way}', 'off', true)" for way in DETOURS)


class Claimed(NamedTuple):
    """A message leased to one delivery: what the sender needs to know of it.

    `attempt` is the number of the attempt that it was claimed for.
    """

    id: int
    phone_number: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to, as it is written to the message and to its log of attempts.

    `next_attempt_at` None means that there will be no other attempt. `is_unclear` says that the
    message may have arrived all the same; `is_open`, that the answer may still come, and is then
    to be taken.
    """

    id: int
    status: str
    began_at: datetime | None = None
    seconds: float | None = None
    sent_at: datetime | None = None
    next_attempt_at: datetime | None = None
    error_code: str = ""
    error: str = ""
    http_status: int | None = None
    is_unclear: bool = False
    is_open: bool = False


ANSWER = {  # the columns that an outcome is read as, with Postgres's names of their types
    "id": "bigint",
    "status": "text",
    "began_at": "timestamptz",
    "seconds": "double precision",
    "sent_at": "timestamptz",
    "next_attempt_at": "timestamptz",
    "error_code": "text",
    "error": "text",
    "http_status": "smallint",
    "is_unclear": "boolean",
    "is_open": "boolean",
}


def running_mailings(now: datetime) -> "MailingQuerySet":
    """Return the mailings that are being delivered, from the room above."""
    return apps.get_model("mailings", "Mailing").objects.running(now)


class Statements(models.QuerySet["Message"]):
    """Plan, claim, record, release."""

    def plan(
        self,
        *,
        mailing_id: int,
        audience: "models.QuerySet[Client]",
        openings: Mapping[str, datetime],
        now: datetime,
    ) -> int:
        """Add a pending message for every client of the audience that has none; count them.

        It is due now; in the time zones of `openings`, at the moment that stands there.
        """
        values: dict[str, Any] = {
            "mailing_id": mailing_id,
            "client_id": F("pk"),
            "status": "pending",
            "created_at": now,
            "next_attempt_at": _due_at(openings, now) if openings else now,
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
            # As text, because the field refuses a name that this machine does not know.
            .annotate(zone=Cast("timezone", CharField()))
            .annotate(
                **{
                    f"_{name}": value if isinstance(value, F | Case) else Value(value)
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
    ) -> tuple[list[Claimed], bool]:
        """Lease a running mailing's next due messages; tell also whether more may be due.

        Due messages that its filters select no longer are put off until `recheck_at` instead.
        Nothing is claimed when the mailing was edited after `unchanged_since` (text and filters
        are those of the moment of the claim), or when the lease of this token has been ended.
        """
        unchanged = running_mailings(now).filter(pk=mailing_id, updated_at=unchanged_since)
        due = self.filter(
            Exists(unchanged), mailing=mailing_id, lease_until=None, next_attempt_at__lte=now
        )
        lease = apps.get_model("messages_app", "Lease").objects.filter(pk=token)
        table = self._table()
        with self._by_index() as cursor:
            if not lease.select_for_update().exists():
                return [], False
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
                RETURNING {table}.id, {table}.phone_number, {table}.attempts, {table}.lease_token
                """,
                [*params, token, self._moment(lease_until), self._moment(recheck_at)],
            )
            found = cursor.fetchall()
        claimed = [Claimed(*row[:3]) for row in found if row[3] is not None]
        return claimed, len(found) == limit

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

    def release(self, ids: Sequence[int], *, token: int, due_at: datetime | None = None) -> int:
        """Give back messages that were claimed but not handed to the sender; count them.

        They are due again when they were, or at `due_at`. It costs them no attempt. What was
        taken back meanwhile is not ours to give.
        """
        if not ids:
            return 0
        due = {"next_attempt_at": due_at} if due_at else {}
        held = self.filter(pk__in=ids, lease_token=token, lease_until__isnull=False)
        return held.update(lease_token=None, lease_until=None, attempts=F("attempts") - 1, **due)

    def record_sent(self, ids: Sequence[int], *, token: int, at: datetime) -> int:
        """Write that the sender has taken messages at the first attempt; count those written.

        The common case, and nothing but ids to hand over. A message whose lease went to another
        delivery meanwhile is left as it is.
        """
        if not ids:
            return 0
        condition, ids_as_text = self._are(ids)
        with self._by_index() as cursor:
            cursor.execute(
                f"UPDATE {self._table()} SET status = 'success', sent_at = %s, error_code = '',"
                " error = '', next_attempt_at = NULL, lease_token = NULL, lease_until = NULL"
                f" WHERE {condition} AND lease_token = %s AND lease_until IS NOT NULL",
                [self._moment(at), ids_as_text, token],
            )
            return int(cursor.rowcount)

    def record(self, outcomes: Sequence[Outcome], *, token: int, is_late: bool = False) -> int:
        """Write what attempts came to, each also into the log of attempts; count the messages.

        A message that fails for good after an attempt that may have arrived is unconfirmed,
        whatever the last answer was. One whose lease went to another delivery meanwhile is left
        as it is; one that was taken back and is nobody's, too, unless `is_late` says that this
        is known.
        """
        if not outcomes:
            return 0
        answers = json.dumps([asdict(outcome) for outcome in outcomes], default=self._moment_text)
        table, log = self._table(), self._table("Attempt")
        logged = "began_at, seconds, error_code, http_status, error, is_unclear"
        same = f"{table}.id = answer.id AND {table}.lease_token = %s"
        same += f" AND {table}.lease_until IS {'' if is_late else 'NOT '}NULL"
        with self._by_index() as cursor:
            if self._is_postgres:
                # First of all, because the log is written for messages that are ours until then:
                # somebody else may be about to write the same attempt of a message taken from us.
                cursor.execute(
                    f"SELECT FROM {table} JOIN {self._answers} AS answer ON {same}"
                    f" ORDER BY {table}.id FOR UPDATE OF {table}",
                    [answers, token],
                )
            cursor.execute(
                f"INSERT INTO {log} (message_id, number, {logged})"
                f" SELECT {table}.id, {table}.attempts, {self._columns('answer', logged)}"
                f" FROM {self._answers} AS answer JOIN {table} ON {same} WHERE true"
                f" ON CONFLICT (message_id, number) DO UPDATE SET"
                f" ({logged}) = ({self._columns('excluded', logged)})",
                [answers, token],
            )
            cursor.execute(
                f"UPDATE {table} SET status = answer.status, error = answer.error,"
                " error_code = CASE WHEN answer.status = 'fail' AND answer.next_attempt_at IS NULL"
                f" AND EXISTS (SELECT 1 FROM {log} WHERE message_id = {table}.id AND is_unclear)"
                " THEN 'unconfirmed' ELSE answer.error_code END,"
                " next_attempt_at = answer.next_attempt_at,"
                f" sent_at = COALESCE(answer.sent_at, {table}.sent_at), lease_until = NULL,"
                f" lease_token = CASE WHEN answer.is_open THEN lease_token END"
                f" FROM {self._answers} AS answer WHERE {same}",
                [answers, token],
            )
            return int(cursor.rowcount)

    @property
    def _answers(self) -> str:
        """The table that a JSON parameter is read as."""
        if self._is_postgres:
            names = ", ".join(f"{name} {kind}" for name, kind in ANSWER.items())
            return f"(SELECT * FROM json_to_recordset(%s) AS r ({names}))"
        names = ", ".join(f"value ->> '{name}' AS {name}" for name in ANSWER)
        return f"(SELECT {names} FROM json_each(%s))"

    def _are(self, ids: Sequence[int]) -> tuple[str, str]:
        """Return the condition that a message is one of these, and its parameter."""
        listed = ",".join(map(str, ids))
        if self._is_postgres:
            return "id = ANY (%s::bigint[])", f"{{{listed}}}"
        return "id IN (SELECT value FROM json_each(%s))", f"[{listed}]"

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

    def _moment_text(self, moment: datetime) -> str:
        """Return a moment as the database reads it from JSON."""
        return str(self._moment(moment))

    def _table(self, model: str = "Message") -> str:
        table = apps.get_model("messages_app", model)._meta.db_table
        return connections[self.db].ops.quote_name(table)

    @staticmethod
    def _columns(table: str, names: str) -> str:
        return ", ".join(f"{table}.{name}" for name in names.split(", "))


def _due_at(openings: Mapping[str, datetime], now: datetime) -> Case:
    """Return the expression of when a client's message is due, by the client's time zone."""
    return Case(
        *(When(zone=zone, then=Value(moment)) for zone, moment in openings.items()),
        default=Value(now),
        output_field=DateTimeField(),
    )
