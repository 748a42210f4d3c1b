"""From the sender's answer to what is written: accepted, failed for good, or tried again when."""

import random
from datetime import datetime, timedelta

from django.conf import settings

from messages_app.engine.records import Outcome
from messages_app.models import ErrorCode, Message
from messages_app.sender import Answer, Verdict
from messages_app.sending.control import MAX_RETRY_AFTER

FIRST_BACKOFF = 10.0  # seconds at most until the second attempt; then twice as many, and so on


def outcome(
    answer: Answer, verdict: Verdict, *, attempt: int, stop_time: datetime, now: datetime
) -> Outcome:
    """Return what is written about an attempt.

    With a sender that does not drop repeats, a message that may have arrived is not sent again
    by itself: it is held as unconfirmed until an operator decides (DESIGN.md, Outcomes).
    """
    is_held = verdict.is_unclear and not settings.MESSAGE_SENDER_IDEMPOTENT
    is_over = verdict.is_success or verdict.is_final or is_held
    return Outcome(
        answer.id,
        _status(verdict),
        began_at=now - timedelta(seconds=answer.seconds),
        seconds=answer.seconds,
        sent_at=now if verdict.is_success else None,
        next_attempt_at=None if is_over else _again_at(answer, verdict, attempt, stop_time, now),
        error_code=ErrorCode.UNCONFIRMED if is_held else verdict.error_code,
        error=verdict.error[:255],
        http_status=answer.status or None,
        is_unclear=verdict.is_unclear,
    )


def _status(verdict: Verdict) -> str:
    if verdict.is_success:
        return Message.Status.SUCCESS
    return Message.Status.PENDING if verdict.is_systemic else Message.Status.FAIL


def _again_at(
    answer: Answer, verdict: Verdict, attempt: int, stop_time: datetime, now: datetime
) -> datetime | None:
    """Return when the next attempt is due; None when that would be too late."""
    if verdict.is_systemic:
        return now  # It is not the message's fault, and the breaker says when.
    again_at = now + timedelta(
        seconds=max(_backoff(attempt), min(answer.retry_after, MAX_RETRY_AFTER))
    )
    return again_at if again_at < stop_time else None


def _backoff(attempt: int) -> float:
    """Return seconds: exponential with full jitter, so that failures do not come back as a herd.

    The cap is MAILING_REPEAT_TIMEOUT. Source: "Exponential Backoff And Jitter", AWS Architecture
    Blog, 2015.
    """
    cap = settings.MAILING_REPEAT_TIMEOUT.total_seconds()
    # The exponent is capped for the sake of float, not of time.
    return random.uniform(0, min(cap, FIRST_BACKOFF * 2 ** min(attempt - 1, 30)))  # nosec B311
