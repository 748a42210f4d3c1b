"""The time that all hosts share: the database's (docs/adr/0010-clocks-and-ticks.md)."""

import time
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone


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
    """The database's time, read from it once and then advanced by `monotonic`."""

    def __init__(self) -> None:
        """Read the database's time."""
        self._time = now()
        self._read_at = monotonic()

    def now(self) -> datetime:
        """Return the time, in UTC; it is never ahead of the database's."""
        return self._time + timedelta(seconds=monotonic() - self._read_at)
