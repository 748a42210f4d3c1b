"""Progress: how far a mailing has come, how fast it goes, and whether it is done in time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from mailings.forecast import Forecast, forecast
from mailings.models import Mailing
from mailings.stats import balances_of, is_complete, may_be_incomplete
from messages_app import waiting
from messages_app.ledger.accounts import PENDING, RETRY
from messages_app.ledger.balances import Balances
from messages_app.models import SendingControl, Standing
from messages_app.sending.pace import pace, rates_now
from messages_app.stats import by_standing
from toolkit.sending_hours import next_opening

TELLING = 60.0  # seconds: what waits for longer shows what can be reached, less does not
SETTLED = timedelta(minutes=2)
SLACK = 1.05  # A stop time that would do has so much more room than is foreseen.
ROUNDED = timedelta(minutes=5)
MOST = 100  # mailings that are watched one by one


class Opening(NamedTuple):
    """When the first of the shut windows opens, and in which time zone."""

    at: datetime
    zone: str


@dataclass(frozen=True)
class Progress:
    """How far a mailing has come.

    `opening` is given where all that is left waits for a window. The forecast is given while it is
    sent; `would_do` is a stop time by which all would be sent, where its own comes too early.
    """

    numbers: Mapping[Standing, int]
    is_complete: bool
    opening: Opening | None
    rate: float
    forecast: Forecast | None = None
    would_do: datetime | None = None

    @property
    def total(self) -> int:
        """All messages of the mailing."""
        return sum(self.numbers.values())

    @property
    def left(self) -> int:
        """Messages that are still to be sent."""
        return self.numbers[Standing.WAITING] + self.numbers[Standing.RETRIED]

    @property
    def late(self) -> int:
        """Messages that will miss the stop time, as foreseen."""
        return self.forecast.too_late + self.forecast.shut_out if self.forecast else 0


class MailingNow(NamedTuple):
    """A mailing that is sent and not complete, how far it has come, and what was counted."""

    mailing: Mailing
    progress: Progress
    balances: Balances


def sent_now(control: SendingControl, *, now: datetime) -> list[MailingNow]:
    """Return the mailings that are sent now and are not complete, the MOST that began first."""
    running = Mailing.objects.running(now).filter(may_be_incomplete())
    mailings = list(running.order_by("start_time", "pk")[:MOST])
    found = progress_of(mailings, control, now=now)
    sent = [MailingNow(mailing, *each) for mailing, each in zip(mailings, found, strict=True)]
    return [each for each in sent if not each.progress.is_complete]


def progress_of(
    mailings: Sequence[Mailing], control: SendingControl, *, now: datetime
) -> list[tuple[Progress, Balances]]:
    """Return how far mailings have come, with what was counted, in as many queries as for one."""
    if not mailings:
        return []
    found = balances_of(mailings)
    rates = rates_now([mailing.pk for mailing in mailings], now=now)
    share = _EqualShare(control, now)
    return [
        (_progress(each, found[each.pk], rates[each.pk], share), found[each.pk])
        for each in mailings
    ]


def due_since(mailing: Mailing, found: Balances, *, now: datetime) -> datetime | None:
    """Return since when a mailing's next messages could have been sent; None if none could."""
    window = mailing.window
    zones = _left_by_zone(found) if window else {}
    shut = {zone for zone in zones if window and next_opening(window, zone, now) > now}
    return waiting.due_since(mailing.pk, now=now, shut=shut)


@dataclass(frozen=True)
class _EqualShare:
    """What a mailing has if all that run get the same of what all together can reach."""

    control: SendingControl
    now: datetime

    @cached_property
    def rate(self) -> float:
        """Messages a second."""
        running = Mailing.objects.running(self.now).filter(may_be_incomplete())
        return pace(self.control, now=self.now).rate / max(1, running.count())


def _progress(mailing: Mailing, found: Balances, rate: float, share: _EqualShare) -> Progress:
    now, is_sent = share.now, _is_sent(mailing, share.now)
    so_far = Progress(
        by_standing(found),
        is_complete(mailing, found),
        _opening(mailing, found, now) if is_sent else None,
        rate,
    )
    zones = _left_by_zone(found)
    if not (is_sent and zones):
        return so_far
    expected = _expected_rate(mailing, so_far, share)
    foreseen = _foresee(mailing, zones, expected, now)
    if not foreseen.too_late:
        return replace(so_far, forecast=foreseen)
    return replace(
        so_far,
        forecast=_foresee(mailing, zones, expected, now, is_rate_wanted=True),
        would_do=_would_do(mailing, zones, expected, now),
    )


def _is_sent(mailing: Mailing, now: datetime) -> bool:
    """Tell whether messages of a mailing go out now, as far as it is up to the mailing."""
    return mailing.is_running and mailing.start_time <= now < mailing.stop_time


def _left_by_zone(found: Balances) -> dict[str, int]:
    zones: Counter[str] = Counter()
    for account, number in found.items():
        if account.state in (PENDING, RETRY):
            zones[account.timezone] += number
    return {zone: number for zone, number in zones.items() if number > 0}


def _opening(mailing: Mailing, found: Balances, now: datetime) -> Opening | None:
    """Return when the first window opens; None if one is open, or nobody is left to send to."""
    window = mailing.window
    zones = _left_by_zone(found)
    if window is None or not zones:
        return None
    first = min(Opening(next_opening(window, zone, now), zone) for zone in zones)
    return first if first.at > now else None


def _expected_rate(mailing: Mailing, so_far: Progress, share: _EqualShare) -> float:
    """Return the messages a second that are to be expected of a mailing.

    That is what it has, as long as more waits than goes out at once, and unless it began, or went
    on after an edit, within the time that its rate is of. Otherwise it is an equal share of what
    all mailings together can reach.
    """
    waiting_now = so_far.numbers[Standing.WAITING]
    is_settled = share.now - max(mailing.start_time, mailing.updated_at) >= SETTLED
    is_full = waiting_now > so_far.rate * TELLING
    if so_far.rate and is_settled and is_full and not so_far.opening:
        return so_far.rate
    return max(so_far.rate, share.rate)


def _foresee(
    mailing: Mailing,
    zones: Mapping[str, int],
    rate: float,
    now: datetime,
    *,
    is_rate_wanted: bool = False,
) -> Forecast:
    return forecast(
        zones,
        window=mailing.window,
        begins_at=now,
        stops_at=mailing.stop_time,
        rate=rate,
        is_rate_wanted=is_rate_wanted,
    )


def _would_do(
    mailing: Mailing, zones: Mapping[str, int], rate: float, now: datetime
) -> datetime | None:
    """Return a stop time by which all would be sent, with some slack and to whole minutes."""
    endless = forecast(zones, window=mailing.window, begins_at=now, stops_at=None, rate=rate)
    if endless.finishes_at is None:
        return None
    try:
        late = now + (endless.finishes_at - now) * SLACK + ROUNDED
    except OverflowError:
        return None
    seconds = ROUNDED.total_seconds()
    return datetime.fromtimestamp(late.timestamp() // seconds * seconds, tz=now.tzinfo)
