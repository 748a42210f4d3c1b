"""The time that all hosts agree on: the database's own."""

import time
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone


def now() -> datetime:
    """Return the database's time, in UTC.

    The clocks of web servers, workers and beat may be minutes apart, and one of them must not
    start a mailing early or take another's lease for expired. SQLite is this machine's own.
    """
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment


def monotonic() -> float:
    """Return seconds from a counter that nobody sets; where it can, it counts sleep too."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Clock:
    """The database's time without asking each time: read once, then carried on by `monotonic`."""

    def __init__(self) -> None:
        """Read the database's time."""
        self._time = now()
        self._read_at = monotonic()

    def now(self) -> datetime:
        """Return the time; never ahead of the database's."""
        return self._time + timedelta(seconds=monotonic() - self._read_at)
