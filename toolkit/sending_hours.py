"""Windows: the hours of the day in which clients are sent to, by the local time of each.

Only the local time decides. When clocks are set forward, the skipped hours do not exist that day: a
window that begins in them opens at the moment the clock is set, and one that lies within them stays
shut. When clocks are set back, a window within the repeated hours is open both times, and shut in
between where the local time is before its start again.
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
        """Tell whether the window is open at a local time."""
        if self.start < self.end:
            return self.start <= reading < self.end
        return reading >= self.start or reading < self.end


def next_opening(window: Window, zone_name: str, moment: datetime) -> datetime:
    """Return when the window is next open, in UTC: `moment` itself if it is open then.

    An unknown zone counts as UTC, which is also the default of a client's.
    """
    return _search(window, zone_name, moment, window.start, is_open=True)


def next_closing(window: Window, zone_name: str, moment: datetime) -> datetime:
    """Return when the window, which is open at `moment`, shuts: the first instant outside, in UTC.

    An unknown zone counts as UTC.
    """
    return _search(window, zone_name, moment, window.end, is_open=False)


def _search(
    window: Window, zone_name: str, moment: datetime, reading: time, *, is_open: bool
) -> datetime:
    """Return the first time from `moment` on at which the window is open, or shut, in UTC.

    `reading` is the local time at which that begins. Only the times when the clock reads so, or is
    set, are tried: nothing changes between them.
    """
    moment, zone = moment.astimezone(UTC), _zone(zone_name)
    try:
        while window.includes(moment.astimezone(zone).time()) is not is_open:
            moment = _next(reading, zone, moment)
    except OverflowError:
        pass  # The calendar ends (years 1 and 9999): the last time that was tried is returned.
    return moment


@cache
def _zone(name: str) -> ZoneInfo:
    # ZoneInfo's own cache keeps few zones alive; the others would be read from disk each time.
    return ZoneInfo(name if name in time_zones.names() else "UTC")


def _next(reading: time, zone: ZoneInfo, moment: datetime) -> datetime:
    """Return when the local time is next `reading`, or the clock is set if that comes first."""
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
