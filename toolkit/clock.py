"""The time that all hosts share: the database's (docs/adr/0010-clocks-and-ticks.md)."""

import time
from datetime import datetime, timedelta
from math import inf

from django.db import connection
from django.utils import timezone

PROMPT = 0.05  # seconds in which an answer of the database tells the time well enough
READINGS = 3  # at most; of several that were not prompt the quickest counts


def now() -> datetime:
    """Return the database's time, in UTC; with SQLite, this machine's.

    The clocks of web servers, workers and beat may be minutes apart, and none of them must start a
    mailing early or reclaim a lease that has not expired.
    """
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment


def monotonic() -> float:
    """Return seconds of a clock that is never set; on Linux it goes on while the machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Clock:
    """The database's time, read from it once and then advanced by `monotonic`.

    It lags by as long as the answer was under way. A process that was stopped just then would lag
    by all that time, and send past a stop time: so what came late is read again.
    """

    def __init__(self) -> None:
        """Read the database's time."""
        self._lag = inf
        for _ in range(READINGS):
            self._read()
            if self._lag <= PROMPT:
                return

    def now(self) -> datetime:
        """Return the time, in UTC; it is never ahead of the database's."""
        return self._time + timedelta(seconds=monotonic() - self._read_at)

    def _read(self) -> None:
        """Read the database's time, and keep it if none came quicker."""
        asked_at = monotonic()
        moment, read_at = now(), monotonic()
        if (lag := read_at - asked_at) < self._lag:
            self._time, self._read_at, self._lag = moment, read_at, lag
