"""The forecast: how many messages of a mailing go out before its stop time, and when the last does.

It is arithmetic: messages flow at one rate through the hours in which each time zone's window is
open. What other mailings have waiting flows first. Of zones that are open at the same time, each
gets its share. Failures and retries are not foreseen.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import NamedTuple

from toolkit.sending_hours import Window, next_closing, next_opening

# Hours are followed one by one for so long; after that it goes on as it went until then.
HORIZON = timedelta(days=14)
PRECISION = 14  # halvings in the search for the rate that would do
FASTEST = 1_000_000.0  # messages a second, as fast as a limit can be set


class Stretch(NamedTuple):
    """Seconds in which these groups of clients, by their places, can be sent to."""

    seconds: float
    are_open: Sequence[int]


class Course(NamedTuple):
    """What becomes of messages at some rate: how many go out, and after how many seconds."""

    sent: float
    seconds: float


class Forecast(NamedTuple):
    """What is to be expected of a mailing.

    Undeliverable are `too_late`, for which the time is too short, and `shut_out`, whose window is
    not open once before the stop time. `rate_needed` is the rate at which none would be too late.
    """

    deliverable: int
    too_late: int
    shut_out: int
    finishes_at: datetime | None
    rate_needed: float | None


class Plan(NamedTuple):
    """When which clients can be sent to: `numbers` of clients, by group, and the stretches.

    After the stretches, `beyond` seconds are left until the stop time; None is for ever.
    """

    numbers: Sequence[int]
    stretches: Sequence[Stretch]
    beyond: float | None

    @property
    def reachable(self) -> int:
        """How many clients can be sent to at all."""
        places = {place for stretch in self.stretches for place in stretch.are_open}
        return sum(self.numbers[place] for place in places)


def forecast(
    zones: Mapping[str, int],
    *,
    window: Window | None,
    begins_at: datetime,
    stops_at: datetime | None,
    rate: float,
    ahead: int = 0,
    is_rate_wanted: bool = True,
) -> Forecast:
    """Return what is to be expected of a mailing to so many clients in each time zone.

    `rate` is in messages a second, of all mailings together; `ahead` are those of others that are
    sent first. Unless the rate that would do is wanted, it is not looked for, which takes longest.
    """
    total = sum(zones.values())
    if not total or (stops_at and stops_at <= begins_at):
        return Forecast(0, total, 0, None, None)
    plan = _plan(zones, window, begins_at, stops_at)
    course = _course(plan, rate, ahead)
    sent = min(plan.reachable, round(course.sent)) if stops_at else plan.reachable
    return Forecast(
        sent,
        plan.reachable - sent,
        total - plan.reachable,
        _later(begins_at, course.seconds) if course.sent else None,
        _rate_needed(plan, ahead) if stops_at and is_rate_wanted else None,
    )


def _plan(
    zones: Mapping[str, int], window: Window | None, begins_at: datetime, stops_at: datetime | None
) -> Plan:
    horizon = _later(begins_at, HORIZON.total_seconds()) or datetime.max.replace(tzinfo=UTC)
    ends_at = min(stops_at, horizon) if stops_at else horizon
    beyond = (stops_at - ends_at).total_seconds() if stops_at else None
    if window is None:
        whole = Stretch((ends_at - begins_at).total_seconds(), [0])
        return Plan([sum(zones.values())], [whole], beyond)
    groups = _groups(zones, window, begins_at)
    hours = [_hours(window, zone, begins_at, ends_at) for zone, _ in groups]
    return Plan([number for _, number in groups], _stretches(hours, begins_at, ends_at), beyond)


def _groups(zones: Mapping[str, int], window: Window, at: datetime) -> list[tuple[str, int]]:
    """Return (zone, clients), with zones whose windows open and shut at the same times as one."""
    groups: dict[tuple[datetime, datetime], tuple[str, int]] = {}
    for zone, number in sorted(zones.items(), key=lambda item: -item[1]):
        opens_at = next_opening(window, zone, at)
        key = opens_at, next_closing(window, zone, opens_at)
        name, before = groups.get(key, (zone, 0))
        groups[key] = name, before + number
    return list(groups.values())


def _hours(
    window: Window, zone: str, begins_at: datetime, ends_at: datetime
) -> list[tuple[datetime, datetime]]:
    """Return from when to when the window is open in a zone."""
    hours = []
    opens_at = next_opening(window, zone, begins_at)
    while opens_at < ends_at:
        shuts_at = next_closing(window, zone, opens_at)
        hours.append((opens_at, min(shuts_at, ends_at)))
        following = next_opening(window, zone, shuts_at)
        if following <= opens_at:  # the end of the calendar
            break
        opens_at = following
    return hours


def _stretches(
    hours: Sequence[Sequence[tuple[datetime, datetime]]], begins_at: datetime, ends_at: datetime
) -> list[Stretch]:
    """Divide the time where a window opens or shuts."""
    changes: dict[datetime, list[tuple[int, bool]]] = {begins_at: [], ends_at: []}
    for place, spans in enumerate(hours):
        for opens_at, shuts_at in spans:
            changes.setdefault(opens_at, []).append((place, True))
            changes.setdefault(shuts_at, []).append((place, False))
    stretches, now_open = [], set[int]()
    for at, following in pairwise(sorted(changes)):
        for place, opens in sorted(changes[at], key=lambda change: change[1]):
            (now_open.add if opens else now_open.discard)(place)
        stretches.append(Stretch((following - at).total_seconds(), sorted(now_open)))
    return stretches


def _course(plan: Plan, rate: float, ahead: float) -> Course:
    """Return what becomes of the messages at a rate."""
    left, passed, reachable = list(map(float, plan.numbers)), 0.0, float(plan.reachable)
    to_send, last_sent = reachable, 0.0
    for stretch in plan.stretches:
        room = rate * stretch.seconds
        first = min(ahead, room)
        ahead, room = ahead - first, room - first
        waiting = sum(left[place] for place in stretch.are_open)
        sent = min(waiting, room)
        if sent:
            last_sent = passed + (first + sent) / rate
        for place in stretch.are_open:
            left[place] -= left[place] * sent / waiting if waiting else 0
        to_send, passed = to_send - sent, passed + stretch.seconds
        if to_send < 0.5:
            return Course(reachable, last_sent)
    return _beyond(plan, Course(reachable - to_send, last_sent), passed, to_send)


def _beyond(plan: Plan, course: Course, passed: float, to_send: float) -> Course:
    """Return how it goes on after the last stretch: as it went until then."""
    if plan.beyond == 0 or not course.sent:
        return course
    needed = to_send * passed / course.sent
    seconds = needed if plan.beyond is None else min(needed, plan.beyond)
    return Course(course.sent + to_send * seconds / needed, passed + seconds)


def _rate_needed(plan: Plan, ahead: int) -> float | None:
    """Return the lowest rate at which all that can be sent to are, to about three digits."""
    seconds = sum(stretch.seconds for stretch in plan.stretches) + (plan.beyond or 0)
    if not plan.reachable:
        return None

    def does(rate: float) -> bool:
        return _course(plan, rate, ahead).sent >= plan.reachable - 0.5

    high = (plan.reachable + ahead) / seconds
    while not does(high):
        high *= 2
        if high > FASTEST:
            return None
    low = high / 2
    for _ in range(PRECISION):
        middle = (low + high) / 2
        low, high = (low, middle) if does(middle) else (middle, high)
    return ceil(high * 100) / 100


def _later(moment: datetime, seconds: float) -> datetime | None:
    """Return the moment so many seconds later; None where the calendar has ended."""
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return None
