"""The timeline: how many messages came to each state, by minute, hour or day.

It is read from the totals by minute. Those that are older than LEDGER_DAYS are of whole hours.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Max, Min, QuerySet, Sum
from django.db.models.functions import TruncDay, TruncHour, TruncMinute

from messages_app.ledger.accounts import PENDING
from messages_app.ledger.folding import fold_all
from messages_app.models import MinuteTotal
from messages_app.models.ledger import ALL_MAILINGS

# The finest first.
STEPS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
TRUNCATED = {"minute": TruncMinute, "hour": TruncHour, "day": TruncDay}
READABLE = 200  # steps that a chart shows well

Points = Mapping[datetime, Mapping[str, int]]  # {a step's beginning: messages by state}


def timeline(mailing_id: int, *, since: datetime, until: datetime, step: str) -> Points:
    """Return {a step's beginning, in UTC: messages that came to each state within it}.

    A message counts each time that it comes to a state. Steps without any are left out. `since` is
    rounded down to a whole step; nothing from `until` on is counted. Of mailing ALL_MAILINGS they
    are those of all mailings.
    """
    fold_all()
    began_at = TRUNCATED[step]("began_at", tzinfo=UTC)
    totals = MinuteTotal.objects.filter(
        mailing_id=mailing_id, began_at__gte=beginning(since, step), began_at__lt=until
    )
    rows = totals.values_list(began_at, "state").annotate(Sum("number")).order_by(began_at)
    points: dict[datetime, dict[str, int]] = {}
    for at, state, number in rows:
        points.setdefault(at, {})[state] = number
    return points


def came_to(
    mailing_ids: Collection[int] | QuerySet[Any, Any], *, since: datetime, until: datetime
) -> dict[int, Counter[tuple[str, str]]]:
    """Return {mailing's id: {(state, reason): messages that came to it between two times}}.

    They are counted as in `timeline`, as far as folded; mailings without any are left out.
    """
    totals = MinuteTotal.objects.filter(
        mailing_id__in=mailing_ids, began_at__gte=beginning(since, "minute"), began_at__lt=until
    )
    rows = (
        totals.order_by().values_list("mailing_id", "state", "error_code").annotate(Sum("number"))
    )
    found: dict[int, Counter[tuple[str, str]]] = {}
    for mailing_id, state, code, number in rows:
        found.setdefault(mailing_id, Counter())[state, code] += number
    return found


def totals_ever() -> dict[tuple[str, str], int]:
    """Return {(state, reason): messages of all mailings that ever came to it}, as far as folded.

    It only grows, also when mailings are deleted.
    """
    rows = MinuteTotal.objects.filter(mailing_id=ALL_MAILINGS).order_by()
    found = rows.values_list("state", "error_code").annotate(Sum("number"))
    return {(state, code): number for state, code, number in found}


def span(mailing_id: int) -> tuple[datetime, datetime] | None:
    """Return from when to when a mailing's messages came to a state; None if none did yet."""
    fold_all()
    return _ends(MinuteTotal.objects.filter(mailing_id=mailing_id))


def sending_span(mailing_id: int) -> tuple[datetime, datetime] | None:
    """Return from when to when a mailing's messages were sent, or failed, as far as is folded."""
    return _ends(MinuteTotal.objects.filter(mailing_id=mailing_id).exclude(state=PENDING))


def _ends(totals: QuerySet[MinuteTotal]) -> tuple[datetime, datetime] | None:
    ends = totals.aggregate(first=Min("began_at"), last=Max("began_at"))
    return (ends["first"], ends["last"] + STEPS["minute"]) if ends["first"] else None


def failures_seen(mailing_id: int) -> dict[str, tuple[datetime, datetime]]:
    """Return {reason: when messages of a mailing first and last failed for it}, by the minute."""
    fold_all()
    totals = MinuteTotal.objects.filter(mailing_id=mailing_id).exclude(error_code="")
    rows = totals.order_by().values_list("error_code").annotate(Min("began_at"), Max("began_at"))
    return {code: (first, last) for code, first, last in rows}


def steps_between(since: datetime, until: datetime, step: str) -> int:
    """Return how many steps there are between two times, the begun ones included."""
    return -((beginning(since, step) - until) // STEPS[step])


def readable_step(since: datetime, until: datetime) -> str:
    """Return the finest step of which there are at most READABLE between two times, or days."""
    fine = (step for step in STEPS if steps_between(since, until, step) <= READABLE)
    return next(fine, "day")


def beginning(moment: datetime, step: str) -> datetime:
    """Return when the step began, in UTC, that a time lies in."""
    epoch = datetime.min.replace(tzinfo=UTC)
    return moment - (moment - epoch) % STEPS[step]
