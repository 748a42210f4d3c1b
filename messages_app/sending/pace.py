"""The pace: how many messages a second are likely to go out, and how that is known."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import models
from django.db.models import Sum

from messages_app.ledger.accounts import SUCCESS
from messages_app.models import MinuteTotal, Posting, SendingControl
from messages_app.models.ledger import ALL_MAILINGS
from messages_app.sending.control import effective_rate

ASSUMED = 100.0  # messages a second, where nothing was measured and there is no limit
LOOKED_AT = timedelta(days=1)
MINUTE = timedelta(minutes=1)
LEAST = 60  # messages of a minute that may count as measured


class Source(models.TextChoices):
    """How the pace is known."""

    MEASURED = "measured", "The fullest minute of the last 24 hours"
    LIMIT = "limit", "The rate that is kept to"
    ASSUMED = "assumed", f"Nothing is known yet; {ASSUMED:g} messages a second are assumed"


class Pace(NamedTuple):
    """Messages a second that go out, and how that is known; what was measured, and the limit."""

    rate: float
    source: Source
    measured: float | None
    limit: float | None


def pace(control: SendingControl, *, now: datetime) -> Pace:
    """Return the pace that a mailing is likely to be sent at, other mailings included."""
    measured, limit = _measured(now), effective_rate(control)
    if limit is not None and (measured is None or measured >= limit):
        return Pace(limit, Source.LIMIT, measured, limit)
    if measured is not None:
        return Pace(measured, Source.MEASURED, measured, limit)
    return Pace(ASSUMED, Source.ASSUMED, measured, limit)


def rates_now(mailing_ids: Collection[int], *, now: datetime) -> dict[int, float]:
    """Return {mailing's id: messages a second that the sender accepted in the last minute}.

    The ledger knows whole minutes: of the last one it takes the share that lies within the last 60
    seconds, and what is not folded yet counts as of this minute.
    """
    this_minute = now.replace(second=0, microsecond=0)
    left = 1 - (now - this_minute) / MINUTE
    numbers: dict[int, float] = defaultdict(float)
    minutes = MinuteTotal.objects.filter(
        mailing_id__in=mailing_ids,
        began_at__in=(this_minute, this_minute - MINUTE),
        minutes=1,
        state=SUCCESS,
    )
    for mailing_id, began_at, number in minutes.values_list("mailing_id", "began_at", "number"):
        numbers[mailing_id] += number if began_at == this_minute else number * left
    posted = Posting.objects.filter(
        mailing__in=mailing_ids, position=None, after__startswith=f"{SUCCESS}|"
    )
    for mailing_id, number in posted.order_by().values_list("mailing").annotate(Sum("number")):
        numbers[mailing_id] += number
    return {pk: numbers[pk] / MINUTE.total_seconds() for pk in mailing_ids}


def _measured(now: datetime) -> float | None:
    """Return the messages a second of the fullest minute that says what can be reached.

    A minute with little to send says nothing. It counts if messages went out in the minutes before
    and after it, too, or if it reached more than is assumed.
    """
    this_minute = now.replace(second=0, microsecond=0)
    rows = MinuteTotal.objects.filter(
        mailing_id=ALL_MAILINGS,
        began_at__gte=now - LOOKED_AT,
        began_at__lt=this_minute,
        minutes=1,
        state=SUCCESS,
    )
    sent = dict(rows.order_by().values_list("began_at").annotate(Sum("number")))
    telling = [
        number
        for at, number in sent.items()
        if (at - MINUTE in sent and at + MINUTE in sent and number >= LEAST)
        or number >= ASSUMED * MINUTE.total_seconds()
    ]
    return max(telling) / MINUTE.total_seconds() if telling else None
