"""The pulse: how long the sender takes to answer, and how many requests are open.

Each sending process notes its answers in memory, in steps that grow by a quarter, and adds them to
the minute's totals every two seconds: the database has at most some sixty rows a minute of them.
"""

import os
import shutil
import socket
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from math import log
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Sum

from messages_app.models import AnswerTime, Occurrence, Pulse
from messages_app.sql import moment_value, table_of
from toolkit.clock import monotonic

GROWTH = 1.25  # from a step to the next; a step is so exact
LAST_STEP = 60  # some eleven minutes
# Names of occurrences.
LEASE_RECLAIMED, SPOOL_REPLAYED = "lease_reclaimed", "spool_replayed"
EVERY = 2.0  # seconds between two notes of a process
FRESH = timedelta(seconds=10)  # A process that said nothing for longer has nothing open.
LATELY = timedelta(minutes=5)
KEPT_BY_MINUTE = timedelta(hours=1)  # answers; older ones are added up
KEPT = timedelta(days=1)  # what a process said last
EVER = datetime(2000, 1, 1, tzinfo=UTC)  # the minute of all answers that are older


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
                [Pulse(name=_own_name(), at=now, open_requests=open_requests, **_spool())],
                update_conflicts=True,
                unique_fields=["name"],
                update_fields=["at", "open_requests", "spool_files", "free_bytes"],
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


def answers_ever() -> dict[int, int]:
    """Return {step: answers that took so long}, of all that were ever heard; it only grows."""
    found = AnswerTime.objects.order_by("step").values_list("step").annotate(Sum("number"))
    return dict(found)


def bounds(step: int) -> tuple[float, float]:
    """Return what answers of a step took, and the most that they can have taken, in seconds."""
    return float(GROWTH**step) / 1000, float(GROWTH ** (step + 0.5)) / 1000


def spools(*, now: datetime) -> dict[str, tuple[int, int]]:
    """Return {host: (files in its spool, bytes that are free there)}, as was said last in a day."""
    told: dict[str, tuple[int, int]] = {}
    said = Pulse.objects.filter(at__gt=now - KEPT, spool_files__isnull=False).order_by("at")
    for name, files, free in said.values_list("name", "spool_files", "free_bytes"):
        told[name.rpartition("/")[0]] = (files or 0, free or 0)
    return told


def note(occurrence: str) -> None:
    """Note that something rare has happened, in the transaction that is open."""
    table = table_of(Occurrence)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (name, number) VALUES (%s, 1)"
            f" ON CONFLICT (name) DO UPDATE SET number = {table}.number + 1",
            [occurrence],
        )


def drop_old(*, now: datetime) -> None:
    """Add up old answers, and drop what processes said that are long gone."""
    with transaction.atomic():
        old = AnswerTime.objects.filter(began_at__lt=now - KEPT_BY_MINUTE).exclude(began_at=EVER)
        steps: Counter[int] = Counter()
        ids = []
        for pk, step, number in old.select_for_update().values_list("pk", "step", "number"):
            ids.append(pk)
            steps[step] += number
        _add(steps, EVER)
        AnswerTime.objects.filter(pk__in=ids).delete()
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


def _spool() -> dict[str, int | None]:
    """Return how this host's spool stands; nothing where it cannot be looked at."""
    folder = Path(settings.SPOOL_DIR)
    try:
        files = sum(path.suffix == ".spool" for path in folder.iterdir())
        return {"spool_files": files, "free_bytes": shutil.disk_usage(folder).free}
    except OSError:
        return {"spool_files": None, "free_bytes": None}


def _own_name() -> str:
    return f"{socket.gethostname()}/{os.getpid()}"[:255]
