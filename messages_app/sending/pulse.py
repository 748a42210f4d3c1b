"""The pulse: how long the sender takes to answer, and how many requests are open.

Each sending process notes its answers in memory, in steps that grow by a quarter, and adds them to
the minute's totals every two seconds: the database has at most some sixty rows a minute of them.
"""

import os
import socket
from collections import Counter
from datetime import datetime, timedelta
from itertools import accumulate
from math import log

from django.db import connection, transaction
from django.db.models import Sum

from messages_app.models import AnswerTime, Pulse
from messages_app.sql import moment_value, table_of
from toolkit.clock import monotonic

GROWTH = 1.25  # from a step to the next; a step is so exact
LAST_STEP = 60  # some eleven minutes
EVERY = 2.0  # seconds between two notes of a process
FRESH = timedelta(seconds=10)  # A process that said nothing for longer has nothing open.
LATELY = timedelta(minutes=5)
KEPT = timedelta(days=1)


class Tally:
    """What a process has heard since it last wrote it down."""

    def __init__(self) -> None:
        self._steps: Counter[int] = Counter()
        self._saved_at = float("-inf")

    def add(self, seconds: float) -> None:
        """Note how long an answer took."""
        self._steps[step_of(seconds)] += 1

    def save(self, open_requests: int, *, now: datetime) -> None:
        """Write it down if it is time to, with the number of open requests."""
        if monotonic() - self._saved_at < EVERY:
            return
        self._saved_at = monotonic()
        steps, self._steps = self._steps, Counter()
        with transaction.atomic():
            _add(steps, now.replace(second=0, microsecond=0))
            Pulse.objects.bulk_create(
                [Pulse(name=_own_name(), at=now, open_requests=open_requests)],
                update_conflicts=True,
                unique_fields=["name"],
                update_fields=["at", "open_requests"],
            )


tally = Tally()  # of this process


def step_of(seconds: float) -> int:
    """Return the step of a time: 0 is a millisecond, and each is a quarter longer."""
    return min(LAST_STEP, max(0, round(log(max(seconds, 0.001) * 1000, GROWTH))))


def answer_times(*, now: datetime) -> tuple[float, float] | None:
    """Return the median and the 95th percentile of the last minutes' answers, in seconds.

    They are exact to an eighth. None where there was no answer.
    """
    rows = AnswerTime.objects.filter(began_at__gte=now - LATELY)
    found = rows.order_by("step").values_list("step").annotate(Sum("number"))
    numbers = dict(found)
    if not numbers:
        return None
    return _percentile(numbers, 0.5), _percentile(numbers, 0.95)


def in_flight(*, now: datetime) -> int:
    """Return how many requests all processes together had open a moment ago."""
    fresh = Pulse.objects.filter(at__gt=now - FRESH)
    number: int = fresh.aggregate(sum=Sum("open_requests", default=0))["sum"]
    return number


def drop_old(*, now: datetime) -> None:
    """Drop what nobody looks at any more."""
    AnswerTime.objects.filter(began_at__lt=now - KEPT).delete()
    Pulse.objects.filter(at__lt=now - KEPT).delete()


def _percentile(numbers: dict[int, int], share: float) -> float:
    """Return the time of the step up to which that share of the answers was quick."""
    wanted = share * sum(numbers.values())
    so_far = zip(numbers, accumulate(numbers.values()), strict=True)
    step = next(step for step, seen in so_far if seen >= wanted)
    return float(GROWTH**step) / 1000


def _add(steps: Counter[int], minute: datetime) -> None:
    if not steps:
        return
    table = table_of(AnswerTime)
    values = ", ".join(["(%s, %s, %s)"] * len(steps))
    params = [x for step in sorted(steps) for x in (moment_value(minute), step, steps[step])]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (began_at, step, number) VALUES {values} ON CONFLICT"
            f" (began_at, step) DO UPDATE SET number = {table}.number + excluded.number",
            params,
        )


def _own_name() -> str:
    return f"{socket.gethostname()}/{os.getpid()}"[:255]
