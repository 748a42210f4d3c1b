"""Retry: decides from the sender's answer whether and when a message is sent again.

The rules are those of docs/sender-api.md and docs/adr/0011-attempts-and-unclear-outcomes.md.
`bulk.record` writes what is decided here.
"""

import random
from datetime import datetime, timedelta

from django.conf import settings

from messages_app.engine.records import Outcome
from messages_app.models import ErrorCode, Message
from messages_app.sender import Answer, Verdict

FIRST_BACKOFF = 10.0  # seconds at most until the second attempt; doubled for each one after it
MAX_RETRY_AFTER = 24 * 3600.0  # seconds; a longer Retry-After counts as this long


def outcome(answer: Answer, verdict: Verdict, *, attempt: int, now: datetime) -> Outcome:
    """Return what an attempt came to: the message's new status, and when it is retried.

    There is no retry once the message was accepted or refused for good; `bulk.record` drops those
    that the mailing's stop time leaves no time for. With a sender that does not drop repeated ids,
    an unclear attempt is not retried either: the message becomes unconfirmed until an operator
    decides (docs/sender-api.md).
    """
    is_unconfirmed = verdict.is_unclear and not settings.MESSAGE_SENDER_IDEMPOTENT
    is_over = verdict.is_success or verdict.is_final or is_unconfirmed
    return Outcome(
        answer.id,
        _status(verdict, is_unconfirmed),
        began_at=now - timedelta(seconds=answer.seconds),
        seconds=answer.seconds,
        sent_at=now if verdict.is_success else None,
        next_attempt_at=None if is_over else _retry_at(answer, verdict, attempt, now),
        error_code=ErrorCode.UNCONFIRMED if is_unconfirmed else verdict.error_code,
        error=verdict.error[:255],
        http_status=answer.status or None,
        is_unclear=verdict.is_unclear,
        attempt=attempt,
    )


def _status(verdict: Verdict, is_unconfirmed: bool) -> str:
    if verdict.is_success:
        return Message.Status.SUCCESS
    is_blameless = verdict.is_systemic and not is_unconfirmed
    return Message.Status.PENDING if is_blameless else Message.Status.FAIL


def _retry_at(answer: Answer, verdict: Verdict, attempt: int, now: datetime) -> datetime:
    """Return when the next attempt is due."""
    if verdict.is_systemic:
        return _systemic_retry_at(attempt, now)
    return now + timedelta(seconds=max(_backoff(attempt), min(answer.retry_after, MAX_RETRY_AFTER)))


def _systemic_retry_at(attempt: int, now: datetime) -> datetime:
    """Return when a message is due again that was refused as any other would have been.

    At once: it is not to blame, and the open breaker delays it anyway. From its second attempt on
    after a back-off: the sender may refuse only this one so, and it must not come back at once to
    open the breaker for all others.
    """
    return now + timedelta(seconds=_backoff(attempt)) if attempt > 1 else now


def _backoff(attempt: int) -> float:
    """Return the seconds until the retry: random, so that failed messages do not come back at once.

    At most 10 s after the first attempt, 20 s after the second and so on, capped by
    MAILING_REPEAT_TIMEOUT. Source: "Exponential Backoff And Jitter" (full jitter), AWS
    Architecture Blog, 2015.
    """
    cap = settings.MAILING_REPEAT_TIMEOUT.total_seconds()
    # The exponent is capped because a float overflows at 2 ** 1024.
    return random.uniform(0, min(cap, FIRST_BACKOFF * 2 ** min(attempt - 1, 30)))  # nosec B311
