"""Planning: one pending message for each client of a mailing's audience that has none yet."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import (
    Case,
    CharField,
    DateTimeField,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import Cast

from clients.models import Client
from messages_app.ledger.accounts import NOWHERE, PENDING, Account
from messages_app.ledger.posting import post_moved
from messages_app.models import Line, Message, Withdrawal
from messages_app.sql import index_scans_only, is_postgres, table_of
from toolkit.sending_hours import Window, next_opening


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
    number = _insert(mailing_id, audience, openings, now, is_in_line=not is_planned)
    if number and not is_planned:
        Line.objects.lengthen(mailing_id)
    return number


def _is_planned(mailing_id: int, audience: QuerySet[Client]) -> bool:
    """Tell whether clients from the first of an audience on, by id, have messages of a mailing."""
    first = audience.order_by("pk").values("pk")[:1]
    return Message.objects.filter(mailing=mailing_id, client__gte=first).exists()


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


def _insert(
    mailing_id: int,
    audience: QuerySet[Client],
    openings: Mapping[str, datetime],
    now: datetime,
    *,
    is_in_line: bool,
) -> int:
    """Insert the messages with one statement; return their number.

    `openings` is {time zone: when its messages are due}; those of other zones are due now, and
    stand in line with `is_in_line`.
    """
    values: dict[str, Any] = {
        "mailing_id": mailing_id,
        "client_id": F("pk"),
        "status": Message.Status.PENDING,
        "created_at": now,
        "next_attempt_at": _due_at(openings, now),
        "queued_at": _due_at(openings, None if is_in_line else now),
        "attempts": 0,
        "error_code": "",
        "error": "",
        "phone_number": F("phone_number"),
        "is_manual": False,
        "timezone": F("zone"),
    }
    # SQLite takes ON CONFLICT for a join's ON, unless a WHERE stands before it.
    rows = (
        audience.order_by()
        .filter(pk__isnull=False)
        # As text, because the field refuses a name that this machine does not know.
        .annotate(zone=Cast("timezone", CharField()))
        .annotate(
            **{
                f"_{name}": value if isinstance(value, F | Case | Value) else Value(value)
                for name, value in values.items()
            }
        )
    )
    sql, params = rows.values_list(*(f"_{name}" for name in values)).query.sql_with_params()
    # The clients are locked against deletion until their messages are committed.
    lock = " FOR KEY SHARE" if is_postgres() else ""
    with index_scans_only() as cursor:
        cursor.execute(
            f"INSERT INTO {table_of(Message)} ({', '.join(values)}) {sql}{lock}"
            " ON CONFLICT (mailing_id, client_id) DO NOTHING RETURNING id, timezone",
            params,
        )
        planned = cursor.fetchall()
    by_zone: dict[str, list[int]] = defaultdict(list)
    for pk, zone in planned:
        by_zone[zone].append(pk)
    accounts = {zone: str(Account(PENDING, "", 0, zone)) for zone in by_zone}
    post_moved(mailing_id, {(NOWHERE, accounts[zone]): ids for zone, ids in by_zone.items()})
    return len(planned)


def _due_at(openings: Mapping[str, datetime], otherwise: datetime | None) -> Case | Value:
    """Return an SQL expression: when a message is due, by its client's time zone."""
    moment = Value(otherwise, DateTimeField())
    zones = (When(zone=zone, then=Value(opening)) for zone, opening in openings.items())
    return Case(*zones, default=moment, output_field=DateTimeField()) if openings else moment
