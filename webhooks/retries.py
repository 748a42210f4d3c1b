"""When a call is tried again: the schedule of Standard Webhooks 1.0.0, and when to stop."""

import random
from datetime import timedelta

# After the first attempt, which is at once; ten attempts in all, over three days.
DELAYS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)),
)
JITTER = 0.1  # of a delay, more or less: what failed together does not come back together
MOST_HELD = timedelta(hours=1)  # the longest Retry-After that is heeded
DISABLED_AFTER = timedelta(days=5)  # without one success
# While a webhook fails, one new page of the feed in this time shows whether it is back.
PROBE_INTERVAL = timedelta(minutes=1)
# Deliveries that may wait for another attempt; from then on the feed waits, which costs nothing.
MOST_PENDING = 1_000
GONE = 410
SLOW_DOWN = (429, 503)


def delay_after(attempts: int) -> timedelta | None:
    """Return how long to wait after so many attempts; None when that was the last one."""
    if attempts > len(DELAYS):
        return None
    # Jitter against a thundering herd, nothing to do with secrets.
    return DELAYS[attempts - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # nosec B311


def is_success(status: int | None) -> bool:
    """Tell whether a receiver has taken a call."""
    return status is not None and 200 <= status < 300


def held_for(status: int | None, retry_after: int) -> timedelta:
    """Return how long the receiver wants no calls at all; zero if it did not say."""
    if status not in SLOW_DOWN:
        return timedelta()
    return min(timedelta(seconds=max(0, min(retry_after, 10**6))), MOST_HELD)
