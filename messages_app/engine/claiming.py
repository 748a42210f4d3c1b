"""Claiming: leases due messages of one or of many mailings to a delivery, with the same statements.

They are written by hand, because they run several times a second and the ORM would take longer to
compile them than the database to run them.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from math import ceil
from types import MappingProxyType
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import BigIntegerField

from clients.audience import matching_sql
from clients.models import Client
from messages_app.engine.records import Claimed
from messages_app.ledger.accounts import claimable_account
from messages_app.ledger.posting import packed
from messages_app.mailing_snapshot import MailingSnapshot
from messages_app.models import Attempt, Lease, LeasedBatch, Line, Message
from messages_app.sql import (
    Condition,
    Row,
    Statement,
    is_postgres,
    moment_value,
    one_of,
    run,
    run_by_index,
    table_of,
)

# The columns of a message that a claim returns.
RETURNED = "mailing_id, client_id, lease_token, {0}.id, phone_number, attempts, status"
RETURNED += ", error_code, timezone, text_version"
# Messages that a claim looks through in line at most, where others of the mailing are queued: a
# mailing may have millions of clients one after the other whose window is shut.
REACH = 4_000


class Share(NamedTuple):
    """What one claim may take of one mailing: at most `limit` messages, for the lease `token`.

    `shut` are time zones in which its window is known to be shut, each with when it opens: messages
    of their clients are put off until then.
    """

    mailing: MailingSnapshot
    token: int
    limit: int
    shut: Mapping[str, datetime] = MappingProxyType({})


class Found(NamedTuple):
    """The messages of one mailing that a claim has leased, and whether more may be due."""

    messages: list[Claimed]
    is_more: bool


class _Place(NamedTuple):
    """A mailing's line, which this transaction has locked, and whether its queue may be due.

    `end` is the client up to whom a claim looks through it; None is to its end.
    """

    passed: int
    is_empty: bool
    has_queue: bool
    end: int | None


class _Part(NamedTuple):
    """At most `limit` messages of a share: of its line, or of its queue if `place` is None."""

    share: Share
    place: _Place | None
    limit: int


def claim(
    shares: Sequence[Share], *, lease_until: datetime, recheck_at: datetime, now: datetime
) -> list[Found]:
    """Lease due messages of mailings, one share of each, to the delivery that has their tokens.

    They come from the queue and from the line (see `waiting`), unless somebody else is claiming
    from that. Due messages whose client the filters no longer select are not leased; they are due
    again at `recheck_at`, or where their window is known to be shut, when it opens. Nothing is
    leased of a mailing that was edited since the snapshot (its text and filters would be out of
    date), or under a token whose lease was reclaimed.

    Returns:
        What was found of each share, in their order.
    """
    times = (lease_until, recheck_at, now)
    with transaction.atomic():
        leases, lines = run_by_index(
            _lock_leases(shares), _lock_lines([share.mailing.id for share in shares], now)
        )
        tokens = {token for (token,) in leases}
        alive = [share for share in shares if share.token in tokens]
        places = _places(lines) | _make_lines([share.mailing.id for share in alive], lines, now)
        in_queue = [
            _Part(share, None, _queue_limit(share, places.get(share.mailing.id)))
            for share in alive
            if _has_queue(places.get(share.mailing.id))
        ]
        queued = _lease(in_queue, *times)
        in_line = [
            _Part(share, place, rest)
            for share in alive
            if (place := places.get(share.mailing.id)) and not place.is_empty
            if (rest := share.limit - len(queued[share.mailing.id]))
        ]
        lined = _lease(in_line, *times)
        found = {
            share.token: Found(
                _claimed([*queued[share.mailing.id], *lined[share.mailing.id]]),
                is_more=share.mailing.id not in places,
            )
            for share in alive
        }
        run(*_pass_on(in_line, lined), *_note_batches(found))
    for part, rows in [(part, queued) for part in in_queue] + [(part, lined) for part in in_line]:
        if len(rows[part.share.mailing.id]) == part.limit or (part.place and part.place.end):
            found[part.share.token] = found[part.share.token]._replace(is_more=True)
    return [found.get(share.token, Found([], is_more=False)) for share in shares]


def _has_queue(place: _Place | None) -> bool:
    return place is None or place.has_queue


def _queue_limit(share: Share, place: _Place | None) -> int:
    """Return how many to take from the queue.

    Half of them at most while others stand in line: neither keeps the other waiting.
    """
    return share.limit if place and place.is_empty else ceil(share.limit / 2)


def _lock_leases(shares: Iterable[Share]) -> Statement:
    """Return SQL that locks the leases, so that nobody reclaims them; it selects their tokens."""
    condition, params = one_of("token", [share.token for share in shares])
    lock = " FOR UPDATE" if is_postgres() else ""
    return Statement(f"SELECT token FROM {table_of(Lease)} WHERE {condition}{lock}", params)


def _lock_lines(ids: Collection[int], now: datetime) -> Statement:
    """Return SQL that locks the lines of mailings that nobody else has locked; see `_places`."""
    condition, params = one_of("mailing_id", ids)
    lock = " FOR UPDATE OF line SKIP LOCKED" if is_postgres() else ""
    table, last = table_of(Message), BigIntegerField.MAX_BIGINT
    # All by their order or as pairs, which only the right index can serve. Otherwise Postgres may
    # expect to meet a message of a mailing soon by any other, and read those of all others first.
    queued = f"(SELECT id FROM {table} WHERE mailing_id = line.mailing_id AND {{}}"
    queued += " ORDER BY mailing_id, queued_at LIMIT 1) IS NOT NULL"
    pair = "(mailing_id, client_id)"
    behind = f"{pair} > (line.mailing_id, line.passed) AND {pair} <= (line.mailing_id, {last})"
    return Statement(
        f"""
        SELECT mailing_id, passed, is_empty,
            {queued.format("queued_at <= %s AND next_attempt_at IS NOT NULL")},
            CASE WHEN NOT is_empty AND {queued.format("queued_at IS NOT NULL")} THEN (
                SELECT client_id FROM {table} WHERE {behind}
                ORDER BY mailing_id, client_id LIMIT 1 OFFSET {REACH - 1}
            ) END
        FROM {table_of(Line)} AS line WHERE {condition}{lock}
        """,
        [moment_value(now), *params],
    )


def _places(lines: Iterable[Row]) -> dict[int, _Place]:
    """Return {mailing's id: its line}, from the rows of `_lock_lines`."""
    return {pk: _Place(*columns) for pk, *columns in lines}


def _make_lines(ids: Collection[int], lines: Sequence[Row], now: datetime) -> dict[int, _Place]:
    """Make and lock the lines of these mailings that do not exist yet; return them.

    `lines` are those that exist and are locked.
    """
    missing = {*ids}.difference(pk for pk, *_ in lines)
    if not missing or not Line.objects.make_missing(missing):
        return {}
    return _places(*run(_lock_lines(missing, now)))


def _lease(
    parts: Sequence[_Part], lease_until: datetime, recheck_at: datetime, now: datetime
) -> Mapping[int, list[Row]]:
    """Lease the first due messages of each part; return {mailing's id: rows as in RETURNED}.

    What is put off for a recheck leaves the line.
    """
    rows: dict[int, list[Row]] = defaultdict(list)
    if not parts:
        return rows
    table = table_of(Message)
    selections = [_first_due(part, now) for part in parts]
    due = " UNION ALL ".join(sql for sql, _ in selections)
    # A sender that drops repeats drops another text under the same id, too.
    keeps_text = "text_version IS NOT NULL" if settings.MESSAGE_SENDER_IDEMPOTENT else "false"
    recheck = moment_value(recheck_at)
    statement = Statement(
        f"""
        WITH due (id, token, version, matches, opens_at, number, is_unclear) AS ({due})
        UPDATE {table} SET
            lease_token = CASE WHEN due.matches THEN due.token END,
            lease_until = CASE WHEN due.matches THEN %s END,
            next_attempt_at = CASE
                WHEN due.matches THEN next_attempt_at ELSE COALESCE(due.opens_at, %s)
            END,
            queued_at = CASE WHEN due.matches THEN queued_at ELSE COALESCE(due.opens_at, %s) END,
            attempts = attempts + CASE WHEN due.matches THEN 1 ELSE 0 END,
            phone_number = CASE
                WHEN due.matches AND NOT due.is_unclear THEN due.number ELSE phone_number
            END,
            text_version = CASE
                WHEN NOT due.matches OR due.is_unclear AND {keeps_text} THEN text_version
                ELSE due.version
            END
        FROM due WHERE {table}.id = due.id
        RETURNING {RETURNED.format(table)}
        """,
        [
            *(value for _, values in selections for value in values),
            *(moment_value(lease_until), recheck, recheck),
        ],
    )
    for row in chain(*run(statement)):
        rows[row[0]].append(row)
    return rows


def _first_due(part: _Part, now: datetime) -> tuple[str, list[Any]]:
    """Return SQL, and its parameters, that selects and locks the first due messages of a part.

    Its columns are the message's id, the token and text version for it, whether it may be sent now,
    when its window opens if it is that which is shut, the phone number, and whether it may have
    arrived already: then it stays as it went out, because the sender knows it by the id that is
    made of that number. Messages that another transaction has locked are skipped.
    """
    mailing = part.share.mailing
    is_selected, values = matching_sql(mailing.filters, "client")
    if part.place:
        where = "message.queued_at IS NULL AND message.client_id > %s AND message.client_id <= %s"
        bounds, order = (
            [part.place.passed, part.place.end or BigIntegerField.MAX_BIGINT],
            "message.client_id",
        )
    else:
        where, bounds, order = "message.queued_at <= %s", [moment_value(now)], "message.queued_at"
    lock = " FOR UPDATE OF message SKIP LOCKED" if is_postgres() else ""
    is_selected = f"client.id IS NOT NULL AND (message.is_manual OR {is_selected})"
    opens_at, shut = _opens_at(part.share.shut)
    sql = f"""
        SELECT * FROM (
            SELECT message.id, %s, %s,
                {is_selected} AND {opens_at} IS NULL,
                CASE WHEN {is_selected} THEN {opens_at} END,
                COALESCE(client.phone_number, ''),
                message.attempts > 0 AND EXISTS (
                    SELECT 1 FROM {table_of(Attempt)} WHERE message_id = message.id AND is_unclear
                )
            FROM {table_of(Message)} AS message
            LEFT JOIN {table_of(Client)} AS client ON client.id = message.client_id
            WHERE message.mailing_id = %s AND message.next_attempt_at <= %s
                AND message.lease_until IS NULL AND {where} AND {mailing.is_unchanged.sql}
            ORDER BY message.mailing_id, {order} LIMIT %s{lock}
        ) AS part{mailing.id}
    """
    share = part.share
    params = [share.token, mailing.text_version, *values, *shut, *values, *shut]
    params += [mailing.id, moment_value(now), *bounds, *mailing.is_unchanged.params, part.limit]
    return sql, params


def _opens_at(shut: Mapping[str, datetime]) -> Condition:
    """Return SQL for when the window opens in a client's time zone; NULL if it is not shut."""
    if not shut:
        kind = "timestamptz" if is_postgres() else "text"
        return Condition(f"CAST(NULL AS {kind})", ())
    zones = json.dumps({zone: str(moment_value(moment)) for zone, moment in shut.items()})
    if is_postgres():
        return Condition("CAST(CAST(%s AS jsonb) ->> client.timezone AS timestamptz)", (zones,))
    return Condition("(%s ->> client.timezone)", (zones,))


def _pass_on(parts: Sequence[_Part], found: Mapping[int, Sequence[Row]]) -> Iterator[Statement]:
    """Yield SQL that remembers how far messages in line are taken, and which lines are empty."""
    rows: list[str] = []
    params: list[Any] = []
    for share, place, limit in parts:
        taken = found[share.mailing.id]
        passed, end = (place.passed, place.end) if place else (0, None)
        last = max((client_id for _, client_id, *_ in taken), default=passed)
        is_seen = len(taken) < limit  # all that stand in line, up to where it was looked through
        # Of a mailing that was just edited none are found, whoever stands in line.
        unchanged = share.mailing.is_unchanged
        rows.append(f"(%s, CASE WHEN {unchanged.sql} THEN %s ELSE %s END, %s AND {unchanged.sql})")
        params += [share.mailing.id, *unchanged.params, end if is_seen and end else last, last]
        params += [is_seen and not end, *unchanged.params]
    if rows:
        yield Statement(
            f"UPDATE {table_of(Line)} SET passed = column2, is_empty = column3"
            f" FROM (VALUES {', '.join(rows)}) AS place WHERE mailing_id = column1",
            params,
        )


def _note_batches(found: Mapping[int, Found]) -> Iterator[Statement]:
    """Yield SQL that notes which messages each lease holds, so that recovery need not search."""
    batches = [
        (token, packed([each.id for each in messages]))
        for token, (messages, _) in found.items()
        if messages
    ]
    if batches:
        rows = ", ".join(["(%s, %s)"] * len(batches))
        yield Statement(
            f"INSERT INTO {table_of(LeasedBatch)} (token, message_ids) VALUES {rows}",
            [value for batch in batches for value in batch],
        )


def _claimed(rows: Iterable[Row]) -> list[Claimed]:
    """Return the messages that a claim has leased, from the rows that it returned."""
    accounts: dict[tuple[str, str, str], str] = {}
    claimed = []
    for _, _, token, pk, phone_number, attempts, status, error_code, timezone, version in rows:
        if token is None:
            continue
        key = (status, error_code, timezone)
        if key not in accounts:
            accounts[key] = claimable_account(*key)
        claimed.append(Claimed(pk, phone_number, attempts, accounts[key], version))
    return claimed
