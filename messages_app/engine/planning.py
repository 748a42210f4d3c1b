"""Planning: one pending message for each client of a mailing's audience that has none yet."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from django.db import transaction
from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast

from clients.audience import Filters, matching_sql
from clients.models import Client
from messages_app.ledger.accounts import NOWHERE, PENDING, Account
from messages_app.ledger.posting import Transfer, post_moved
from messages_app.models import Line, Message, Withdrawal
from messages_app.sql import (
    Condition,
    Statement,
    index_scans_only,
    is_postgres,
    moment_value,
    run_by_index,
    table_of,
)
from toolkit.sending_hours import Window, next_opening

SMALL = 500  # clients of a mailing that is planned along with others


def plan(
    *, mailing_id: int, audience: QuerySet[Client], window: Window | None, now: datetime
) -> int:
    """Add a pending message for each client of the audience that has none in this mailing.

    A message is due now, or when the window next opens in the client's time zone. Those due now
    stand in line behind all others; they are queued if that is not their place. Left out are
    clients who were withdrawn from the mailing, and numbers that it has been sent to already under
    a client that was deleted since.

    Returns:
        The number of messages added.
    """
    withdrawn = Withdrawal.objects.filter(mailing=mailing_id, client=OuterRef("pk"))
    audience = audience.exclude(Exists(withdrawn)).exclude(Exists(_sent_before(mailing_id)))
    is_planned = _is_planned(mailing_id, audience)
    if is_planned:
        # Otherwise the insertion would lock every client, and find only then that it has one.
        message = Message.objects.filter(mailing=mailing_id, client=OuterRef("pk"))
        audience = audience.exclude(Exists(message))
    openings = openings_of(window, audience, now) if window else {}
    # As text, because the field refuses a name that this machine does not know.
    zone = Cast("timezone", CharField())
    rows = audience.order_by().values_list(Value(mailing_id), "pk", "phone_number", zone)
    sql, params = rows.query.sql_with_params()
    selected = Condition(f"{sql}{_client_lock()}", params)
    number = _insert(selected, openings, now, is_in_line=not is_planned).get(mailing_id, 0)
    if number and not is_planned:
        Line.objects.lengthen(mailing_id)
    return number


def _is_planned(mailing_id: int, audience: QuerySet[Client]) -> bool:
    """Tell whether clients from the first of an audience on, by id, have messages of a mailing."""
    first = audience.order_by("pk").values_list("pk", flat=True).first()
    if first is None:
        return False
    later = Message.objects.filter(mailing=mailing_id, client__gte=first)
    with index_scans_only():  # Postgres would guess that a look at the table soon finds one.
        return bool(later.order_by("mailing_id", "client_id").values("pk")[:1])


def _sent_before(mailing_id: int) -> QuerySet[Message]:
    """Return the messages to a client's number whose client, a former one, was deleted.

    Those that would be tried again are not among them: without a client they are not.
    """
    former = Message.objects.filter(mailing=mailing_id, client__isnull=True, attempts__gt=0)
    same = former.filter(phone_number=OuterRef("phone_number"))
    return same.filter(Q(next_attempt_at=None) | Q(lease_until__isnull=False))


def openings_of(window: Window, clients: QuerySet[Client], now: datetime) -> dict[str, datetime]:
    """Return {time zone of clients: when the window next opens}, of zones where it is shut now."""
    # As text, because the field refuses a name that this machine does not know.
    names = Cast("timezone", CharField())
    zones = clients.order_by().values_list(names, flat=True).distinct()
    found = {zone: next_opening(window, zone, now) for zone in zones}
    return {zone: moment for zone, moment in found.items() if moment > now}


class NewMailing(NamedTuple):
    """A mailing that was just started: it has no window, and nobody has looked for its clients."""

    id: int
    filters: Filters


def plan_small(mailings: Sequence[NewMailing], *, now: datetime) -> dict[int, int]:
    """Plan those of new mailings that have at most SMALL clients, all with the same statements.

    As many as start at once would take a second for each hundred of them, one by one.

    Returns:
        {mailing's id: number of messages added}; larger ones are left out, and nothing is planned
        for them.
    """
    if not mailings:
        return {}
    with transaction.atomic():
        sizes = Statement(*_union([_size_of(mailing) for mailing in mailings]))
        small = {pk for pk, number in chain(*run_by_index(sizes)) if number <= SMALL}
        planned = [mailing for mailing in mailings if mailing.id in small]
        numbers = {mailing.id: 0 for mailing in planned}
        if planned:
            audience = _union([_audience_of(mailing) for mailing in planned])
            numbers |= _insert(audience, {}, now, is_in_line=True)
            Line.objects.lengthen(*small)
    return numbers


def _size_of(mailing: NewMailing) -> Condition:
    """Return SQL that counts the clients of a mailing, up to one more than SMALL."""
    selected, values = matching_sql(mailing.filters, "client")
    table = table_of(Client)
    return Condition(
        f"SELECT %s, count(*) FROM (SELECT 1 FROM {table} AS client WHERE {selected}"
        f" LIMIT %s) AS size{mailing.id}",
        (mailing.id, *values, SMALL + 1),
    )


def _audience_of(mailing: NewMailing) -> Condition:
    """Return SQL that selects and locks the clients of a mailing, as `_insert` takes them."""
    selected, values = matching_sql(mailing.filters, "client")
    return Condition(
        f"SELECT * FROM (SELECT %s AS mailing, id, phone_number, timezone FROM {table_of(Client)}"
        f" AS client WHERE {selected} AND NOT EXISTS (SELECT 1 FROM {table_of(Withdrawal)}"
        f" WHERE mailing_id = %s AND client_id = client.id){_client_lock()})"
        f" AS audience{mailing.id}",
        (mailing.id, *values, mailing.id),
    )


def _union(selections: Sequence[Condition]) -> Condition:
    return Condition(
        " UNION ALL ".join(sql for sql, _ in selections),
        tuple(value for _, values in selections for value in values),
    )


def _client_lock() -> str:
    """Return SQL that locks clients against deletion until their messages are committed."""
    return " FOR KEY SHARE" if is_postgres() else ""


def _insert(
    audience: Condition, openings: Mapping[str, datetime], now: datetime, *, is_in_line: bool
) -> dict[int, int]:
    """Insert a message for each row of `audience` with one statement; return {mailing: number}.

    `audience` is SQL for rows of mailing's id, client's id, phone number and time zone. `openings`
    is {time zone: when its messages are due}; those of other zones are due now, and stand in line
    with `is_in_line`.
    """
    due_at, due_params = _due_at(openings, now)
    queued_at, queued_params = _due_at(openings, None if is_in_line else now)
    with transaction.atomic():
        insert = Statement(
            f"INSERT INTO {table_of(Message)} (mailing_id, client_id, phone_number, timezone,"
            " status, created_at, next_attempt_at, queued_at, attempts, error_code, error,"
            " is_manual) SELECT mailing, client, number, zone, 'pending', %s,"
            f" {due_at}, {queued_at}, 0, '', '', false"
            # SQLite takes ON CONFLICT for a join's ON, unless a WHERE stands before it.
            f" FROM (WITH audience (mailing, client, number, zone) AS ({audience.sql})"
            " SELECT * FROM audience) AS audience WHERE true"
            " ON CONFLICT (mailing_id, client_id) DO NOTHING RETURNING mailing_id, id, timezone",
            [moment_value(now), *due_params, *queued_params, *audience.params],
        )
        (planned,) = run_by_index(insert)
    moved: dict[Transfer, list[int]] = defaultdict(list)
    for mailing_id, pk, zone in planned:
        moved[mailing_id, NOWHERE, _pending(zone)].append(pk)
    post_moved(moved)
    return Counter(mailing_id for mailing_id, *_ in planned)


@lru_cache(1024)
def _pending(zone: str) -> str:
    return str(Account(PENDING, "", 0, zone))


def _due_at(openings: Mapping[str, datetime], otherwise: datetime | None) -> Condition:
    """Return SQL for when a message is due, by its client's time zone."""
    if not openings:
        return Condition("%s", (moment_value(otherwise),))
    zones = " ".join("WHEN %s THEN %s" for _ in openings)
    moments = [(zone, moment_value(opening)) for zone, opening in openings.items()]
    params = [value for each in moments for value in each]
    return Condition(f"CASE zone {zones} ELSE %s END", (*params, moment_value(otherwise)))
