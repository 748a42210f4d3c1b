"""The engine's statements on thousands of messages: claim, release, record.

`record` writes when a message is retried (`next_attempt_at`), as decided in `outcomes`. Statements
are built from querysets where the ORM can say it, and run on Postgres and on SQLite.

Whoever waits for messages locks them in the order of their ids, so that no two wait for each other:
a delivery that wakes up and whoever takes its lease back write the same ones.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import chain

from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.db.models import F

from messages_app.engine.records import Claimed, Outcome
from messages_app.ledger.accounts import accepted
from messages_app.ledger.posting import (
    ACCOUNT_COLUMNS,
    Move,
    Transfer,
    account_from,
    accounts_of,
    post_by_mailing,
    post_moved,
)
from messages_app.models import Attempt, Message
from messages_app.sql import (
    Statement,
    index_scans_only,
    is_postgres,
    moment_value,
    one_of,
    run,
    run_by_index,
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


def release(ids: Sequence[int], *, tokens: Collection[int], due_at: datetime | None = None) -> int:
    """End the lease of messages that were claimed and not handed to the sender; count them.

    They stay due as before, or are due at `due_at`, and the claim no longer counts as an attempt.
    Messages that are not leased under one of the `tokens` any more (they were reclaimed) are left
    as they are.
    """
    if not ids:
        return 0
    at = due_at or F("next_attempt_at")
    leased = Message.objects.filter(pk__in=ids, lease_token__in=tokens, lease_until__isnull=False)
    with index_scans_only():
        locked = list(leased.order_by("pk").select_for_update().values_list("pk", flat=True))
        return Message.objects.filter(pk__in=locked).schedule(
            at, lease_token=None, lease_until=None, attempts=F("attempts") - 1
        )


def record_accepted(
    messages: Mapping[int, Sequence[Claimed]], *, tokens: Collection[int], at: datetime
) -> int:
    """Write that the sender accepted messages at their first attempt; return how many.

    A statement of its own for the most frequent outcome: it takes only ids and writes no log.
    Messages that are not leased under one of the `tokens` any more are left as they are.

    Args:
        messages: those of each mailing, by its id.
        tokens: of all leases of one delivery.
        at: when the sender's answers came.
    """
    sent = [message.id for each in messages.values() for message in each]
    if not sent:
        return 0
    with transaction.atomic():
        ids, leases = one_of("id", sent), one_of("lease_token", tokens)
        # The index has the ids in order, and so they are locked in it.
        update = Statement(
            f"UPDATE {table_of(Message)} SET status = 'success', sent_at = %s, error_code = '',"
            " error = '', next_attempt_at = NULL, queued_at = NULL, lease_token = NULL,"
            f" lease_until = NULL WHERE {ids.sql} AND {leases.sql} AND lease_until IS NOT NULL"
            " RETURNING id",
            [moment_value(at), *ids.params, *leases.params],
        )
        written = {pk for (pk,) in chain(*run_by_index(update))}
        moved: dict[Transfer, list[int]] = defaultdict(list)
        for mailing_id, of_mailing in messages.items():
            for message in of_mailing:
                if message.id in written:
                    after = accepted(message.account, message.text_version)
                    moved[mailing_id, message.account, after].append(message.id)
        post_moved(moved)
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
    with index_scans_only():
        outcomes = _in_time(outcomes)
        answers = json.dumps([asdict(outcome) for outcome in outcomes], default=_moment_text)
        # Locked first of all, because the log is written for messages that are ours until then:
        # somebody else may be about to write the same attempt of a message taken from us.
        locked = ours.filter(pk__in=[each.id for each in outcomes]).select_for_update()
        before = accounts_of(locked.order_by("pk"))
        insert = Statement(
            f"INSERT INTO {log} (message_id, number, {logged})"
            f" SELECT {table}.id, {table}.attempts, {_columns('answer', logged)}"
            f" FROM {rows} AS answer JOIN {table} ON {same} WHERE true"
            f" ON CONFLICT (message_id, number) DO UPDATE SET"
            f" ({logged}) = ({_columns('excluded', logged)})",
            [answers, token],
        )
        update = Statement(
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
        _, written = run(insert, update)
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
