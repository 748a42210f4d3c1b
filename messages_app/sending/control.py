"""What holds every worker back: the operator's pause, the rate and the breaker.

One row of the database keeps them (Brakes), so that all workers obey and a restart forgets
nothing. While a brake holds, messages stay as they are: a deferral costs no attempt.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from messages_app.models import Brakes
from messages_app.sender import Answer, Verdict

FAILURES = 20  # in a row, over all workers, open the breaker
FIRST_PROBE = 2.0  # seconds from the opening to the first probe; then twice as many, and so on
LAST_PROBE = 60.0  # seconds between two probes at most
MAX_WAIT = 24 * 3600.0  # seconds that a Retry-After is heeded for
LOWEST_RATE, HIGHEST_RATE = 0.01, 1_000_000.0  # messages a second
BOOKED_AHEAD = timedelta(seconds=1)  # how early a worker may book moments to send in

logger = logging.getLogger(__name__)


def rate(brakes: Brakes) -> float | None:
    """Return the messages a second that may be sent: the stricter of setting and operator."""
    limits = [limit for limit in (settings.MESSAGE_SENDER_RATE, brakes.rate) if limit]
    return min(limits, default=None)


def hold(brakes: Brakes, now: datetime) -> bool:
    """Tell whether nothing at all may be sent now, not even a probe."""
    return brakes.is_paused or bool(brakes.probe_at and brakes.probe_at > now)


def is_booked_up(brakes: Brakes, now: datetime) -> bool:
    """Tell whether the next moments to send in are all given away."""
    return bool(rate(brakes) and brakes.free_at and brakes.free_at > now + BOOKED_AHEAD)


def book(number: int, *, now: datetime) -> tuple[datetime, timedelta]:
    """Book moments to send so many messages in; return the first and the time between two.

    All workers book in the same row, one after the other, so that together they keep the rate
    and no two send at the same moment.
    """
    with transaction.atomic():
        brakes = Brakes.objects.select_for_update().current()
        limit = rate(brakes)
        if not limit:
            return now, timedelta()
        first = max(now, brakes.free_at or now)
        pause = timedelta(seconds=1 / limit)
        brakes.free_at = first + number * pause
        brakes.save(update_fields=["free_at"])
        return first, pause


class Run:
    """How the answers of a while went: the failures in a row at its end, and what they said.

    A message that is refused for its own sake is no failure of the sender.
    """

    def __init__(self) -> None:
        self.is_empty = True
        self.has_success = False
        self.is_refused = False  # everything from us is
        self.failures = 0
        self.reason = ""
        self.wait = 0.0  # seconds that the sender wants to be left in peace

    @property
    def is_alarming(self) -> bool:
        """Whether it opens the breaker by itself."""
        return self.is_refused or self.failures >= FAILURES

    def add(self, answer: Answer, verdict: Verdict) -> None:
        """Take in one more answer."""
        self.is_empty = False
        if verdict.is_success or verdict.is_final:
            self.has_success, self.failures, self.wait = True, 0, 0.0
            return
        self.failures += 1
        self.is_refused |= verdict.is_systemic
        self.reason = verdict.error[:255]
        self.wait = max(self.wait, min(answer.retry_after, MAX_WAIT))


def heed(run: Run, *, failures: int, is_probe: bool, now: datetime) -> bool:
    """Take in how it went, and open or close the breaker accordingly; tell whether to go on.

    `failures` is how many there were in a row before, as far as is known.
    """
    if run.is_empty or not (run.failures or run.is_refused or failures or is_probe):
        return True
    with transaction.atomic():
        brakes = Brakes.objects.select_for_update().current()
        if is_probe and brakes.opened_at:
            _end_probe(brakes, run, now)
        else:
            brakes.failures = run.failures + (0 if run.has_success else brakes.failures)
            if (run.is_alarming or brakes.failures >= FAILURES) and not brakes.opened_at:
                _open(brakes, run, now)
        brakes.save()
    return brakes.opened_at is None


def return_probe(now: datetime) -> None:
    """Let somebody else try the sender, because whoever was to do so has no message for it."""
    Brakes.objects.filter(pk=1, opened_at__isnull=False).update(probe_at=now)


def change(**values: object) -> Brakes:
    """Set the operator's pause and rate."""
    if "rate" in values:
        values["free_at"] = None  # What a lower rate has booked must not hold a higher one back.
    Brakes.objects.filter(pk=1).update(**values)
    return Brakes.objects.current()


def probe_now(*, now: datetime) -> Brakes:
    """Have an open breaker try the sender at once, with the next due message.

    Raises:
        ValidationError: the breaker is closed, or the operator's pause holds even a probe.
    """
    open_ones = Brakes.objects.filter(pk=1, opened_at__isnull=False)
    if not open_ones.exists():
        raise ValidationError(
            "The breaker is closed; messages are sent without a probe.", code="breaker_closed"
        )
    if not open_ones.filter(is_paused=False).update(probe_at=now, probe_interval=FIRST_PROBE):
        raise ValidationError(
            "Sending is paused, and nothing is tried meanwhile. Take the pause back first.",
            code="sending_paused",
        )
    return Brakes.objects.current()


def _open(brakes: Brakes, run: Run, now: datetime) -> None:
    brakes.opened_at, brakes.reason, brakes.probe_interval = now, run.reason, FIRST_PROBE
    brakes.probe_at = now + timedelta(seconds=max(FIRST_PROBE, run.wait))
    logger.error("Sending stops until the sender takes messages again. %s", run.reason)


def _end_probe(brakes: Brakes, run: Run, now: datetime) -> None:
    """Close the breaker after a good probe; after a bad one wait twice as long for the next."""
    if run.failures:
        brakes.reason = run.reason
        brakes.probe_interval = min(2 * brakes.probe_interval, LAST_PROBE)
        brakes.probe_at = now + timedelta(seconds=max(brakes.probe_interval, run.wait))
    else:
        brakes.opened_at = brakes.probe_at = None
        brakes.reason, brakes.probe_interval, brakes.failures = "", 0, 0
        logger.warning("The sender takes messages again.")
