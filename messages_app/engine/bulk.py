"""The engine's statements on thousands of messages: claim, release, record.

`record` writes when a message is retried (`next_attempt_at`), as decided in `outcomes`. Statements
are built from querysets where the ORM can say it, and run on Postgres and on SQLite.

Whoever waits for messages locks them in the order of their ids, so that no two wait for each other:
a delivery that wakes up and whoever takes its lease back write the same ones.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from math import ceil
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import connection
from django.db.models import BooleanField, Case, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce

from clients.audience import Filters, matching
from messages_app import waiting
from messages_app.engine.records import Claimed, Outcome
from messages_app.ledger.accounts import accepted, claimable_account
from messages_app.ledger.posting import (
    ACCOUNT_COLUMNS,
    Move,
    account_from,
    accounts_of,
    packed,
    post_by_mailing,
    post_moved,
)
from messages_app.mailing_snapshot import MailingSnapshot
from messages_app.models import Attempt, Lease, LeasedBatch, Line, Message
from messages_app.sql import (
    id_condition,
    index_scans_only,
    is_postgres,
    moment_value,
    table_of,
)

Status = Message.Status

NEVER = datetime.min.replace(tzinfo=UTC)
OUTCOME_COLUMNS = {  # fields of Outcome, with their Postgres types
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
    "awaits_answer": "boolean",
    "attempt": "integer",
}


def claim(
    mailing: MailingSnapshot,
    *,
    limit: int,
    token: int,
    lease_until: datetime,
    recheck_at: datetime,
    now: datetime,
) -> tuple[list[Claimed], bool]:
    """Lease at most `limit` due messages of a mailing to the delivery that has this token.

    They come from the queue and from the line (see `waiting`), unless somebody else is claiming
    from that. Due messages whose client the filters no longer select are not leased; they are due
    again at `recheck_at`. Nothing is leased if the mailing was edited since the snapshot (its text
    and filters would be out of date), or if the lease of this token was reclaimed.

    Returns:
        The leased messages, and whether more may be due.
    """
    terms = [
        token,
        moment_value(lease_until),
        moment_value(recheck_at),
        moment_value(recheck_at),
        mailing.text_version,
    ]
    with index_scans_only():
        if not Lease.objects.filter(pk=token).select_for_update().exists():
            return [], False
        line = Line.objects.lock_free(mailing.id)
        is_empty = line is not None and line.is_empty
        messages = Message.objects.filter(mailing.is_unchanged, mailing=mailing.id).due(now)
        queue = messages.queued().filter(queued_at__lte=now)
        # Half of them at most while others stand in line: neither keeps the other waiting.
        share = limit if is_empty else ceil(limit / 2)
        found = _lease(queue, share, mailing.filters, terms)
        is_more = line is None or len(found) == share
        if line and (number := limit - len(found)):
            in_line = _lease(messages.in_line(behind=line.passed), number, mailing.filters, terms)
            _pass_on(line, in_line, mailing, is_end=len(in_line) < number)
            is_more |= len(in_line) == number
            found += in_line
        claimed = _claimed(found, mailing.text_version)
        if claimed:
            ids = packed([message.id for message in claimed])
            LeasedBatch.objects.create(token=token, message_ids=ids)
    return claimed, is_more


def _lease(
    due: QuerySet[Message], limit: int, filters: Filters, terms: Sequence[Any]
) -> list[tuple[Any, ...]]:
    """Lease the first of these messages; return rows that `_claimed` reads.

    `terms` are the parameters of what is set. What is put off for a recheck leaves the line.
    """
    table = table_of(Message)
    sql, params = _next(due, limit, filters).query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH due (id, matches, number) AS ({sql})
            UPDATE {table} SET
                lease_token = CASE WHEN due.matches THEN %s END,
                lease_until = CASE WHEN due.matches THEN %s END,
                next_attempt_at = CASE WHEN due.matches THEN next_attempt_at ELSE %s END,
                queued_at = CASE WHEN due.matches THEN queued_at ELSE %s END,
                attempts = attempts + CASE WHEN due.matches THEN 1 ELSE 0 END,
                phone_number = CASE WHEN due.matches THEN due.number ELSE phone_number END,
                text_version = CASE WHEN due.matches THEN %s ELSE text_version END
            FROM due WHERE {table}.id = due.id
            RETURNING client_id, {table}.lease_token, {table}.id, phone_number, attempts, status,
                error_code, timezone
            """,
            [*params, *terms],
        )
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _pass_on(
    line: Line, taken: Sequence[tuple[Any, ...]], mailing: MailingSnapshot, *, is_end: bool
) -> None:
    """Remember how far messages in line are taken; `is_end` says that no more were found."""
    last = max((client for client, *_ in taken), default=None)
    # Of a mailing that was just edited none are found, whoever stands in line.
    unchanged = Line.objects.filter(mailing.is_unchanged, pk=line.pk)
    waiting.pass_on(line, last, is_empty=is_end and unchanged.exists())


def _claimed(rows: Sequence[Any], text_version: int) -> list[Claimed]:
    """Return the messages that a claim has leased, from the rows that it returned."""
    accounts: dict[tuple[str, str, str], str] = {}
    claimed = []
    for _, token, pk, phone_number, attempts, *state in rows:
        if token is None:
            continue
        key = tuple(state)
        if key not in accounts:
            accounts[key] = claimable_account(*state)
        claimed.append(Claimed(pk, phone_number, attempts, accounts[key], text_version))
    return claimed


def _next(due: QuerySet[Message], limit: int, filters: Filters) -> QuerySet[Message, Any]:
    """Return rows (id, whether the filters still select the client, phone number).

    They are the first of the messages, and are locked; those that another transaction has locked
    are skipped.
    """
    matches = Q(is_manual=True) | matching(filters, prefix="client__")
    number = Coalesce("client__phone_number", Value(""))
    # It may have arrived there already, and the sender knows it by this number's id.
    unclear = Exists(Attempt.objects.filter(message=OuterRef("pk"), is_unclear=True))
    return (
        due.annotate(
            matches=Case(
                When(Q(client__isnull=False) & matches, then=Value(True)),
                default=Value(False),
                output_field=BooleanField(),
            ),
            number=Case(
                When(attempts=0, then=number),
                When(unclear, then=F("phone_number")),
                default=number,
            ),
        )
        .select_for_update(of=("self",), skip_locked=True)
        .values_list("pk", "matches", "number")[:limit]
    )


def release(ids: Sequence[int], *, token: int, due_at: datetime | None = None) -> int:
    """End the lease of messages that were claimed and not handed to the sender; count them.

    They stay due as before, or are due at `due_at`, and the claim no longer counts as an attempt.
    Messages that are not leased under `token` any more (they were reclaimed) are left as they are.
    """
    if not ids:
        return 0
    at = due_at or F("next_attempt_at")
    leased = Message.objects.filter(pk__in=ids, lease_token=token, lease_until__isnull=False)
    with index_scans_only():
        locked = list(leased.order_by("pk").select_for_update().values_list("pk", flat=True))
        return Message.objects.filter(pk__in=locked).schedule(
            at, lease_token=None, lease_until=None, attempts=F("attempts") - 1
        )


def record_accepted(
    messages: Sequence[Claimed], *, mailing_id: int, token: int, at: datetime
) -> int:
    """Write that the sender accepted a mailing's messages at their first attempt; count them.

    A statement of its own for the most frequent outcome: it takes only ids and writes no log.
    Messages that are not leased under `token` any more are left as they are.
    """
    if not messages:
        return 0
    condition, ids = id_condition([message.id for message in messages])
    with index_scans_only() as cursor:
        # The index has the ids in order, and so they are locked in it.
        cursor.execute(
            f"UPDATE {table_of(Message)} SET status = 'success', sent_at = %s, error_code = '',"
            " error = '', next_attempt_at = NULL, queued_at = NULL, lease_token = NULL,"
            " lease_until = NULL"
            f" WHERE {condition} AND lease_token = %s AND lease_until IS NOT NULL RETURNING id",
            [moment_value(at), ids, token],
        )
        written = {pk for (pk,) in cursor.fetchall()}
        moved: dict[tuple[str, int], list[int]] = defaultdict(list)
        for message in messages:
            if message.id in written:
                moved[message.account, message.text_version].append(message.id)
        post_moved(
            mailing_id,
            {
                (account, accepted(account, text_version)): ids_of_account
                for (account, text_version), ids_of_account in moved.items()
            },
        )
    return len(written)


def record(outcomes: Sequence[Outcome], *, token: int, is_late: bool = False) -> int:
    """Write the outcomes of attempts to their messages and to the log of attempts.

    Only messages that are leased under `token` are written. With `is_late` it is the other way
    round: only messages that were reclaimed from this token, and not claimed by anybody since.
    The outcome of an earlier attempt than the one that a message is at is not written.

    There is no retry that would not be due before the mailing's stop time. A message that is not
    retried and has an unclear attempt in its log fails as `unconfirmed`, whatever the last answer
    was (docs/adr/0011-attempts-and-unclear-outcomes.md).

    Returns:
        The number of messages written.
    """
    if not outcomes:
        return 0
    table, log = table_of(Message), table_of(Attempt)
    logged = "began_at, seconds, error_code, http_status, error, is_unclear"
    same = f"{table}.id = answer.id AND {table}.lease_token = %s"
    same += f" AND {table}.lease_until IS {'' if is_late else 'NOT '}NULL"
    same += f" AND COALESCE(answer.attempt, {table}.attempts) = {table}.attempts"
    rows = _outcome_rows()
    ours = Message.objects.filter(lease_token=token, lease_until__isnull=is_late)
    with index_scans_only() as cursor:
        outcomes = _in_time(outcomes)
        answers = json.dumps([asdict(outcome) for outcome in outcomes], default=_moment_text)
        # Locked first of all, because the log is written for messages that are ours until then:
        # somebody else may be about to write the same attempt of a message taken from us.
        locked = ours.filter(pk__in=[each.id for each in outcomes]).select_for_update()
        before = accounts_of(locked.order_by("pk"))
        cursor.execute(
            f"INSERT INTO {log} (message_id, number, {logged})"
            f" SELECT {table}.id, {table}.attempts, {_columns('answer', logged)}"
            f" FROM {rows} AS answer JOIN {table} ON {same} WHERE true"
            f" ON CONFLICT (message_id, number) DO UPDATE SET"
            f" ({logged}) = ({_columns('excluded', logged)})",
            [answers, token],
        )
        cursor.execute(
            f"UPDATE {table} SET status = answer.status, error = answer.error,"
            " error_code = CASE WHEN answer.status = 'fail' AND answer.next_attempt_at IS NULL"
            f" AND EXISTS (SELECT 1 FROM {log} WHERE message_id = {table}.id AND is_unclear)"
            " THEN 'unconfirmed' ELSE answer.error_code END,"
            " next_attempt_at = answer.next_attempt_at, queued_at = answer.next_attempt_at,"
            f" sent_at = COALESCE(answer.sent_at, {table}.sent_at), lease_until = NULL,"
            f" lease_token = CASE WHEN answer.awaits_answer THEN lease_token END"
            f" FROM {rows} AS answer WHERE {same}"
            f" RETURNING mailing_id, {table}.id, {_columns(table, ', '.join(ACCOUNT_COLUMNS))}",
            [answers, token],
        )
        written = cursor.fetchall()
        post_by_mailing(
            (mailing_id, Move(pk, before[pk], account_from(*columns)))
            for mailing_id, pk, *columns in written
        )
    return len(written)


def _in_time(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """Return outcomes of one mailing without the retries that its stop time leaves no time for.

    Before a retry is given up, the mailing is locked: its stop time may just be moved, and whoever
    moves it looks for such messages (`requeueing.requeue_failed`).
    """
    retries = [each.next_attempt_at or NEVER for each in outcomes if each.status == Status.FAIL]
    message = Message.objects.filter(pk=outcomes[0].id).select_related("mailing").first()
    if not message or max(retries, default=NEVER) < message.mailing.stop_time:
        return outcomes
    with suppress(ObjectDoesNotExist):  # It was deleted, and its messages with it.
        message.mailing.lock()
    stop_time = message.mailing.stop_time
    return [
        replace(each, next_attempt_at=None)
        if each.status == Status.FAIL and (each.next_attempt_at or NEVER) >= stop_time
        else each
        for each in outcomes
    ]


def _outcome_rows() -> str:
    """Return SQL that reads a JSON list of outcomes, its one parameter, as a table."""
    if is_postgres():
        columns = ", ".join(f"{name} {kind}" for name, kind in OUTCOME_COLUMNS.items())
        return f"(SELECT * FROM json_to_recordset(%s) AS r ({columns}))"
    columns = ", ".join(f"value ->> '{name}' AS {name}" for name in OUTCOME_COLUMNS)
    return f"(SELECT {columns} FROM json_each(%s))"


def _moment_text(moment: datetime) -> str:
    """Return a time as text that the database can read from JSON."""
    return str(moment_value(moment))


def _columns(table: str, names: str) -> str:
    """Return column names that are separated by commas, each prefixed with the table."""
    return ", ".join(f"{table}.{name}" for name in names.split(", "))
