"""Windows: the hours of the day in which clients are written to, each by their own clock.

Nothing decides but what the clock on the wall reads. Where it is set forward, the hours it leaves
out never are: a window that begins among them opens when the clock is set, and one that lies
among them stays shut that day. Where it is set back, a window that falls into the repeated hours
is open in both of them, and shut in between if the clock reads an earlier hour again.
"""

from bisect import bisect_left
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from toolkit import time_zones

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


class Window(NamedTuple):
    """Hours of every day, from `start` until just before `end`; the two differ.

    An end that is earlier than the start is the next morning's.
    """

    start: time
    end: time

    def includes(self, reading: time) -> bool:
        """Tell whether the window is open when the clock reads so."""
        if self.start < self.end:
            return self.start <= reading < self.end
        return reading >= self.start or reading < self.end


def next_opening(window: Window, zone_name: str, moment: datetime) -> datetime:
    """Return when the window is open next, in UTC: `moment` itself if it is open then.

    A zone that is not known is taken for UTC, as a client's is when nobody names one.
    """
    return _search(window, zone_name, moment, window.start, is_open=True)


def next_closing(window: Window, zone_name: str, moment: datetime) -> datetime:
    """Return when the window, open at `moment`, shuts: the first instant outside, in UTC.

    A zone that is not known is taken for UTC.
    """
    return _search(window, zone_name, moment, window.end, is_open=False)


def _search(
    window: Window, zone_name: str, moment: datetime, reading: time, *, is_open: bool
) -> datetime:
    """Go from one moment at which the window may open or shut to the next, until it is so."""
    moment, zone = moment.astimezone(UTC), _zone(zone_name)
    try:
        while window.includes(moment.astimezone(zone).time()) is not is_open:
            moment = _next(reading, zone, moment)
    except OverflowError:
        pass  # At the two ends of the calendar no clock can be read, and nothing is waited for.
    return moment


@cache
def _zone(name: str) -> ZoneInfo:
    # ZoneInfo itself remembers only a few; the others it would read from disk each time.
    return ZoneInfo(name if name in time_zones.names() else "UTC")


def _next(reading: time, zone: ZoneInfo, moment: datetime) -> datetime:
    """Return when the clock reads this next, or is set, whichever comes first."""
    local = moment.astimezone(zone)
    wait = (_since_midnight(reading) - _since_midnight(local.time())) % DAY
    if (moment + wait).astimezone(zone).utcoffset() == local.utcoffset():
        return moment + wait
    # Clocks are set at whole seconds of UTC, and nowhere twice within six days.
    whole = moment.replace(microsecond=0)
    seconds = bisect_left(
        range(wait // SECOND + 1),
        True,
        key=lambda n: (whole + n * SECOND).astimezone(zone).utcoffset() != local.utcoffset(),
    )
    return whole + seconds * SECOND


def _since_midnight(reading: time) -> timedelta:
    return timedelta(
        hours=reading.hour,
        minutes=reading.minute,
        seconds=reading.second,
        microseconds=reading.microsecond,
    )
