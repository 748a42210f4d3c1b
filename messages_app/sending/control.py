"""Sending control limits all workers together: the operator's pause, the rate and the breaker.

It is one row of the database (SendingControl), so that it applies to all workers and survives a
restart. While sending is blocked, messages stay pending and lose no attempt. The rules are in
docs/sender-api.md and docs/adr/0009-brakes.md.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from messages_app.models import SendingControl
from messages_app.sender import Answer, Verdict
from toolkit.history.actors import current_actor
from toolkit.history.models import Deed
from toolkit.history.recording import differences, record_deed, values_of
from toolkit.outbox.models import Event

FAILURES_TO_OPEN = 20  # in a row, over all workers
REJECTIONS_TO_OPEN = 20  # without one success among them, over all workers
# Probes in a row that the sender rejects, after which the messages are taken to be the bad ones.
REJECTED_PROBES = 5
FIRST_PROBE_DELAY = 2.0  # seconds from the opening to the first probe; doubled by each failure
# Seconds between two probes at most. A longer Retry-After delays only the message that it is for.
MAX_PROBE_DELAY = 60.0
LOWEST_RATE, HIGHEST_RATE = 0.01, 1_000_000.0  # messages a second
OPERATORS_OWN = ("is_paused", "pause_reason", "rate")  # the columns that an operator sets
MAX_LOOKAHEAD = timedelta(seconds=1)  # how far ahead of now slots are reserved

logger = logging.getLogger(__name__)


def effective_rate(control: SendingControl) -> float | None:
    """Return the messages a second that may be sent; None means no limit.

    It is the lower one of MESSAGE_SENDER_RATE and the operator's rate.
    """
    limits = [limit for limit in (settings.MESSAGE_SENDER_RATE, control.rate) if limit]
    return min(limits, default=None)


def is_blocked(control: SendingControl, now: datetime) -> bool:
    """Tell whether nothing may be sent now, not even a probe."""
    is_waiting = bool(control.probe_at and control.probe_at > now)
    return control.is_paused or is_held_back(control, now) or is_waiting


def is_held_back(control: SendingControl, now: datetime) -> bool:
    """Tell whether this database is a copy that waits for the end of its original."""
    return bool(control.held_until and control.held_until > now)


def has_no_slots(control: SendingControl, now: datetime) -> bool:
    """Tell whether all slots up to MAX_LOOKAHEAD from now are reserved.

    A slot is the moment at which one request may begin; without a rate there are no slots.
    """
    return bool(
        effective_rate(control)
        and control.next_slot_at
        and control.next_slot_at > now + MAX_LOOKAHEAD
    )


def reserve_slots(number: int, *, now: datetime) -> tuple[datetime, timedelta]:
    """Reserve slots for `number` messages; return the first slot and the time between two.

    All workers reserve in the same row, one after the other, so that together they keep to the
    rate. Without a rate nothing is reserved: the first slot is now, and the time between is zero.
    """
    with transaction.atomic():
        control = SendingControl.objects.select_for_update().current()
        limit = effective_rate(control)
        if not limit:
            return now, timedelta()
        first = max(now, control.next_slot_at or now)
        pause = timedelta(seconds=1 / limit)
        control.next_slot_at = first + number * pause
        control.save(update_fields=["next_slot_at"])
        return first, pause


class AnswerStreak:
    """The answers of one delivery since it last updated the breaker.

    `failures` are those in a row, up to now. A rejected message (`Verdict.is_final`) is not one of
    them, because the sender works: it ends the row like a success. `rejections` are those since
    the last success, whatever failed in between.
    """

    def __init__(self) -> None:
        self.is_empty = True
        self.has_success = False
        self.is_working = False  # the sender accepted or rejected a message
        self.is_systemic = False  # the sender refuses everything from us
        self.failures = 0
        self.rejections = 0
        self.reason = ""
        self.wait = 0.0  # seconds, of the longest Retry-After among the failures

    @property
    def is_alarming(self) -> bool:
        """Whether these answers open the breaker, whatever other workers were answered."""
        is_rejecting = self.rejections >= REJECTIONS_TO_OPEN
        return self.is_systemic or self.failures >= FAILURES_TO_OPEN or is_rejecting

    def add(self, answer: Answer, verdict: Verdict) -> None:
        """Add one answer."""
        self.is_empty = False
        if verdict.is_success:
            self.has_success, self.rejections = True, 0
        else:
            self.reason = verdict.error[:255]
            self.rejections += verdict.is_final
        if verdict.is_final:  # accepted, or rejected
            self.is_working, self.failures, self.wait = True, 0, 0.0
            return
        self.failures += 1
        self.is_systemic |= verdict.is_systemic
        self.wait = max(self.wait, min(answer.retry_after, MAX_PROBE_DELAY))


def update_breaker(streak: AnswerStreak, *, is_probe: bool, now: datetime) -> bool:
    """Update the breaker from a delivery's answers. Returns False when sending must stop.

    It opens on FAILURES_TO_OPEN failures in a row over all workers, on REJECTIONS_TO_OPEN
    rejections without one success, or at once when the sender refuses everything from us.
    `is_probe` says that the answers are those of a probe (see `_end_probe`). With nothing to add
    and nothing to clear, the row is read and not locked.
    """
    is_fine = not (streak.failures or streak.rejections or streak.is_systemic or is_probe)
    if streak.is_empty or (is_fine and not _is_counting()):
        return True
    with transaction.atomic():
        control = SendingControl.objects.select_for_update().current()
        if is_probe and control.opened_at:
            _end_probe(control, streak, now)
        else:
            _count(control, streak)
            is_alarming = streak.is_alarming or _has_too_many(control)
            if is_alarming and not control.opened_at:
                _open(control, streak, now)
        control.save()
    return control.opened_at is None


def _is_counting() -> bool:
    """Tell whether a success has anything to clear: failures or rejections of any worker."""
    counts = Q(failures__gt=0) | Q(rejections__gt=0) | Q(probe_interval__gt=0)
    return SendingControl.objects.filter(counts, pk=1).exists()


def _has_too_many(control: SendingControl) -> bool:
    return control.failures >= FAILURES_TO_OPEN or control.rejections >= REJECTIONS_TO_OPEN


def _count(control: SendingControl, streak: AnswerStreak) -> None:
    """Add a delivery's answers to the rows of failures and rejections over all workers."""
    control.failures = streak.failures + (0 if streak.is_working else control.failures)
    rejections = streak.rejections + (0 if streak.has_success else control.rejections)
    # What is still heard while the breaker is open must not pass for the rejections of probes.
    control.rejections = min(rejections, REJECTIONS_TO_OPEN)
    if streak.has_success and not control.opened_at:
        control.probe_interval = 0


def return_probe(now: datetime) -> None:
    """Make the claimed probe due again for any worker, because this one has no message to send."""
    SendingControl.objects.filter(pk=1, opened_at__isnull=False).update(probe_at=now)


def change(**values: object) -> SendingControl:
    """Set the operator's pause (`is_paused`, `pause_reason`), `rate` or both; return the row.

    Who pauses, and since when, is noted with the pause, and forgotten with it.

    Raises:
        ValidationError: there is a reason, and no pause that it is the reason of.
    """
    with transaction.atomic():
        locked = SendingControl.objects.select_for_update().current()
        before = values_of(locked, OPERATORS_OWN)
        values |= _pause_values(locked, values)
        # Slots that were reserved at a lower rate must not delay messages at a higher one.
        slots = {"next_slot_at": None} if "rate" in values else {}
        SendingControl.objects.filter(pk=1).update(**values, **slots)
        control = SendingControl.objects.current()
        if changes := differences(before, values_of(control, OPERATORS_OWN)):
            paused = Deed.PAUSED if control.is_paused else Deed.RESUMED
            deed = paused if "is_paused" in changes else Deed.CHANGED
            record_deed(deed, control, changes=changes)
        if control.is_paused != before["is_paused"]:
            _record(control, "pause", is_holding=control.is_paused)
    return control


def _pause_values(before: SendingControl, values: Mapping[str, object]) -> dict[str, object]:
    """Return the columns that a change of the pause brings along, besides what was asked for.

    Raises:
        ValidationError: see `change`.
    """
    is_paused = values.get("is_paused", before.is_paused)
    if not is_paused and values.get("pause_reason", "") not in ("", before.pause_reason):
        raise ValidationError(
            {
                "pause_reason": ValidationError(
                    _("Sending is not paused, so there is nothing to give a reason for."),
                    code="reason_without_pause",
                )
            }
        )
    if not is_paused:
        return {"paused_by": "", "paused_at": None, "pause_reason": ""}
    if before.is_paused:
        return {}
    who = {"paused_by": current_actor().username[:150], "paused_at": Now()}
    return {**who, "pause_reason": values.get("pause_reason", "")}


def probe_now(*, now: datetime) -> SendingControl:
    """Make the open breaker's probe due now: the next due message is sent. Return the row.

    Raises:
        ValidationError: the breaker is closed, or sending is paused.
    """
    opened = SendingControl.objects.filter(pk=1, opened_at__isnull=False)
    if not opened.exists():
        raise ValidationError(
            _("The breaker is closed; messages are sent without a probe."), code="breaker_closed"
        )
    with transaction.atomic():
        probe = {"probe_at": now, "probe_interval": FIRST_PROBE_DELAY}
        if not opened.filter(is_paused=False).update(**probe):
            raise ValidationError(
                _("Sending is paused, and nothing is tried meanwhile. Take the pause back first."),
                code="sending_paused",
            )
        control = SendingControl.objects.current()
        record_deed(Deed.TRIED, control)
    return control


def _open(control: SendingControl, streak: AnswerStreak, now: datetime) -> None:
    control.opened_at, control.reason = now, streak.reason
    if control.rejections >= REJECTIONS_TO_OPEN and not streak.is_systemic:
        reason = f"{REJECTIONS_TO_OPEN} messages were rejected in a row. {streak.reason}"
        control.reason = reason[:255]
    # It is longer from the start where probes did not make it better the last time.
    control.probe_interval = min(max(FIRST_PROBE_DELAY, control.probe_interval), MAX_PROBE_DELAY)
    control.probe_at = now + timedelta(seconds=max(control.probe_interval, streak.wait))
    _record(control, "breaker", is_holding=True)
    logger.error("Sending stops until the sender takes messages again. %s", control.reason)


def _end_probe(control: SendingControl, streak: AnswerStreak, now: datetime) -> None:
    """Close the breaker if the probe shows that the sender works; otherwise prolong it.

    A success shows it, and so does a rejection, unless it was rejections that opened the breaker:
    then REJECTED_PROBES of them do, because so many messages may really be bad
    (docs/adr/0017-rejections-in-a-row.md).
    """
    is_suspicious = control.rejections >= REJECTIONS_TO_OPEN
    control.rejections = 0 if streak.has_success else control.rejections + streak.rejections
    if streak.failures:
        _prolong(control, streak, now)
    elif streak.has_success or not is_suspicious:
        control.probe_interval = 0
        _close(control)
    elif control.rejections < REJECTIONS_TO_OPEN + REJECTED_PROBES:
        _prolong(control, streak, now)
    else:
        control.rejections = 0  # and `probe_interval` stays, until a message is accepted
        _close(control)


def _prolong(control: SendingControl, streak: AnswerStreak, now: datetime) -> None:
    """Double the time to the next probe."""
    control.reason = streak.reason
    control.probe_interval = min(2 * control.probe_interval, MAX_PROBE_DELAY)
    control.probe_at = now + timedelta(seconds=max(control.probe_interval, streak.wait))


def _close(control: SendingControl) -> None:
    control.opened_at = control.probe_at = None
    control.reason, control.failures = "", 0
    _record(control, "breaker", is_holding=False)
    logger.warning("The sender takes messages again.")


def _record(control: SendingControl, by: str, *, is_holding: bool) -> None:
    """Record that the "pause" or the "breaker" holds all sending back now, or does no longer.

    Call it in the transaction that writes the row. `is_held` says whether anything holds it back:
    of the two, one may go while the other stays.
    """
    told = {
        "by": by,
        "is_held": control.is_paused or control.opened_at is not None,
        "reason": control.reason if by == "breaker" else control.pause_reason,
    }
    Event.objects.record("sender.held" if is_holding else "sender.released", [told])
