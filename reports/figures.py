"""The figures of a day, from the ledger, by the functions that REST has them from."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from mailings.models import Mailing
from mailings.stats import mailing_stats
from messages_app.ledger.accounts import FAIL
from messages_app.ledger.timeline import Points, came_to, timeline
from messages_app.models.ledger import ALL_MAILINGS

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SHOWN = 30  # mailings of a day that a letter lists, those with most messages
# How long after its stop time a mailing is still looked at: answers come late, people confirm.
LATE = timedelta(days=7)


@dataclass(frozen=True)
class MailingDay:
    """What a day was for one mailing: messages by the state they came to, and its stats now."""

    mailing: Mailing
    came: Mapping[str, int]
    stats: Mapping[str, Any]


@dataclass(frozen=True)
class Day:
    """What a day was: messages by the state they came to, in all, by hour, by reason, by mailing.

    A message counts each time that it comes to a state. `more` is how many mailings are not listed.
    """

    date: date
    since: datetime
    until: datetime
    came: Mapping[str, int]
    hours: Points
    reasons: Mapping[str, int]
    mailings: list[MailingDay]
    more: int


def figures_of(day: date, zone: ZoneInfo) -> Day:
    """Return the figures of a day in somebody's time zone."""
    since, until = (
        datetime.combine(each, time.min, zone).astimezone(UTC) for each in (day, day + DAY)
    )
    # By the minute, for there are zones whose hours begin at other minutes than ours.
    points = timeline(ALL_MAILINGS, since=since, until=until, step="minute")
    came: Counter[str] = Counter()
    hours: dict[datetime, Counter[str]] = {
        since + place * HOUR: Counter() for place in range((until - since) // HOUR)
    }
    for at, numbers in points.items():
        came.update(numbers)
        hours.setdefault(since + (at - since) // HOUR * HOUR, Counter()).update(numbers)
    mailings = _mailings_between(since, until)
    return Day(
        *(day, since, until, came, hours, _reasons(since, until)),
        mailings=_days_of(mailings[:SHOWN]),
        more=max(0, len(mailings) - SHOWN),
    )


def _reasons(since: datetime, until: datetime) -> dict[str, int]:
    """Return {reason: messages of all mailings that failed for good}, the most frequent first."""
    came = came_to([ALL_MAILINGS], since=since, until=until).get(ALL_MAILINGS, Counter())
    failed = {code: number for (state, code), number in came.items() if state == FAIL}
    return dict(sorted(failed.items(), key=lambda each: (-each[1], each[0])))


def _mailings_between(since: datetime, until: datetime) -> list[tuple[int, Counter[str]]]:
    """Return [(mailing's id, messages by state)] of those with any, those with most first."""
    near = Mailing.objects.filter(start_time__lt=until, stop_time__gt=since - LATE)
    came = came_to(near.order_by().values("pk"), since=since, until=until)
    found: list[tuple[int, Counter[str]]] = []
    for pk, numbers in came.items():
        by_state: Counter[str] = Counter()
        for (state, _), number in numbers.items():
            by_state[state] += number
        found.append((pk, by_state))
    return sorted(found, key=lambda each: (-each[1].total(), each[0]))


def _days_of(found: list[tuple[int, Counter[str]]]) -> list[MailingDay]:
    mailings = Mailing.objects.in_bulk([pk for pk, _ in found])
    here = [(mailings[pk], came) for pk, came in found if pk in mailings]
    stats = mailing_stats([mailing for mailing, _ in here])
    return [
        MailingDay(mailing, came, of_mailing)
        for (mailing, came), of_mailing in zip(here, stats, strict=True)
    ]
