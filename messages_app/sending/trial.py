"""A trial: one text to one number, sent now by whoever asks, and counted nowhere.

It keeps to the pause, the breaker and the rate like any message, and changes none of them.
"""

import json
import logging
import secrets
from datetime import datetime
from threading import BoundedSemaphore
from time import sleep
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import models
from django.utils.translation import gettext as _

from messages_app import sender
from messages_app.models import SendingControl
from messages_app.sender import Answer, Failure, Verdict
from messages_app.sender_ids import BITS
from messages_app.sending import control
from toolkit import request_ids
from toolkit.clock import monotonic

AT_ONCE = 2  # in one process: a sender that hangs must not have all threads of a web server
GRACE = 1.0  # seconds that a transport may take longer than its timeout

logger = logging.getLogger(__name__)

_room = BoundedSemaphore(AT_ONCE)


class Outcome(models.TextChoices):
    """What became of it."""

    ACCEPTED = "accepted", "The sender took it"
    REJECTED = "rejected", "The sender refuses this text or number"
    FAILED = "failed", "The sender did not take it"
    UNCLEAR = "unclear", "Nobody knows whether the sender took it"


class Trial(NamedTuple):
    """What the sender said to a trial; `http_status` is None where it did not answer."""

    outcome: Outcome
    http_status: int | None
    error_code: str
    error: str
    seconds: float
    sender_id: int


def send_trial(*, text: str, phone_number: str, now: datetime) -> Trial:
    """Send a text to a number, once, and return what the sender said.

    It takes MESSAGE_SENDER_TIMEOUT and two seconds at most. The caller must not be in a
    transaction, which would last as long.

    Raises:
        ValidationError: nothing may be sent now, or there is no token for the sender.
    """
    if not _room.acquire(blocking=False):
        raise ValidationError(
            _("Other test messages are under way. Try again in a moment."), code="test_under_way"
        )
    try:
        transport = _transport()
        _wait_for_slot(now)
        return _send(transport, text, phone_number)
    finally:
        _room.release()


def _transport() -> sender.Transport:
    try:
        return sender.transport_of_one()
    except ImproperlyConfigured:
        raise ValidationError(
            _(
                "MESSAGE_SENDER_TOKEN is not set where the web server runs, so it cannot send a "
                "test message. Set it there, too."
            ),
            code="sender_not_configured",
        ) from None


def _wait_for_slot(now: datetime) -> None:
    """Wait until the rate allows one more message, for a second at most.

    Raises:
        ValidationError: sending is paused or held back, or all of the rate is used.
    """
    row = SendingControl.objects.current()
    if row.is_paused:
        raise ValidationError(
            _("All sending is paused. Take the pause back first."), code="sending_paused"
        )
    if control.is_held_back(row, now):
        raise ValidationError(
            _("This database is a copy, which waits for its original."), code="sending_held"
        )
    if row.opened_at:
        raise ValidationError(
            _("The sender takes nothing at the moment. Try the sender instead. %(reason)s")
            % {"reason": row.reason},
            code="breaker_open",
        )
    if control.has_no_slots(row, now):
        raise ValidationError(
            _("Other messages take all of the rate just now. Try again in a moment."),
            code="rate_used_up",
        )
    first = control.reserve_slots(1, now=now)[0]
    sleep(max(0.0, (first - now).total_seconds()))


def _send(transport: sender.Transport, text: str, phone_number: str) -> Trial:
    # Those of messages are never negative, so that neither is taken for a repetition of the other.
    sender_id = -1 - secrets.randbits(BITS)
    began_at = monotonic()
    transport.submit(
        sender.Request(0, sender_id, phone_number, json.dumps(text), request_ids.current())
    )
    answer = _wait_for_answer(transport, until=began_at + settings.MESSAGE_SENDER_TIMEOUT + GRACE)
    verdict = sender.classify(answer)
    trial = Trial(
        _outcome(verdict),
        answer.status or None,
        verdict.error_code,
        verdict.error,
        round(monotonic() - began_at, 3),
        sender_id,
    )
    logger.info("A test message to ***%s, %s: %s.", phone_number[-2:], sender_id, trial.outcome)
    return trial


def _wait_for_answer(transport: sender.Transport, *, until: float) -> Answer:
    while (left := until - monotonic()) > 0:
        if answers := transport.poll(left):
            return answers[0]
    return Answer(0, failure=Failure.TIMEOUT, detail="the transport did not end in time")


def _outcome(verdict: Verdict) -> Outcome:
    if verdict.is_success:
        return Outcome.ACCEPTED
    if verdict.is_unclear:
        return Outcome.UNCLEAR
    return Outcome.REJECTED if verdict.is_final else Outcome.FAILED
