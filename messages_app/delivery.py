"""The pump: takes one mailing's due messages through the sender for a while.

Claim, send, record, round and round in one thread: the next batch is claimed while the last is
in flight, answers are written in sub-batches, and no transaction is open while HTTP is.
"""

import json
import logging
import secrets
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from django.conf import settings
from django.utils import timezone

from messages_app import sender, services
from messages_app.models import Message
from messages_app.querysets import Claimed, Outcome

TIME_BOX = 2.0  # seconds of claiming before other mailings have their turn
LEASE = timedelta(seconds=60)
# A request is begun only while its lease covers it to the end.
LEASE_MARGIN = timedelta(seconds=sender.REQUEST_TIMEOUT + 5)
MAX_CLAIM = 1000  # messages
RECORD_SIZE = 250  # answers
RECORD_DELAY = 0.2  # seconds an answer waits for company
HALT_DELAY = timedelta(seconds=60)  # until messages that are not at fault are tried again
MAX_RETRY_AFTER = 24 * 3600  # seconds

logger = logging.getLogger(__name__)


class HaltedError(Exception):
    """The sender refuses everything from us; asking on would help nobody."""


def deliver(mailing_id: int) -> int:
    """Send a mailing's due messages until none is left or the time box ends; count the answers.

    Raises:
        HaltedError: the sender refuses us. Everything is written all the same.
        ImproperlyConfigured: there is no sender token.
    """
    delivery = _Delivery(mailing_id, sender.transport())
    delivery.run()
    if delivery.is_halted:
        raise HaltedError
    return delivery.answered


@dataclass(frozen=True, slots=True)
class _Terms:
    """What one claim's messages share: the text as JSON, and the last moment to begin."""

    text: str
    begin_before: datetime


class _Delivery:
    """One run of the pump; its token is the lease on everything it claims."""

    def __init__(self, mailing_id: int, transport: sender.Transport) -> None:
        self.answered = 0
        self.is_halted = False
        self._mailing_id = mailing_id
        self._transport = transport
        self._token = secrets.randbits(63)
        self._claimed: deque[tuple[Claimed, _Terms]] = deque()
        self._late: list[int] = []
        self._outcomes: list[Outcome] = []
        self._began_at = self._recorded_at = monotonic()
        self._may_claim = True

    def run(self) -> None:
        while self._may_claim or self._claimed or not self._transport.is_idle:
            self._claim_ahead()
            self._submit()
            self._collect()
            if len(self._outcomes) >= RECORD_SIZE or self._waited() >= RECORD_DELAY:
                self._record()
        self._record()
        if self._late:
            Message.objects.release(self._late, token=self._token)

    def _claim_ahead(self) -> None:
        """Claim the next batch when the last is nearly handed over."""
        if not self._may_claim or len(self._claimed) > self._transport.free:
            return
        spent = monotonic() - self._began_at
        rate = self.answered / spent if spent else 0
        limit = min(MAX_CLAIM, max(settings.MESSAGE_SENDER_CONCURRENCY, int(rate)))
        claimed = self._claim(limit)
        self._may_claim = len(claimed) > 0 and spent < TIME_BOX
        self._claimed.extend(claimed)

    def _claim(self, limit: int) -> list[tuple[Claimed, _Terms]]:
        now = timezone.now()
        mailing = services.running_mailing(self._mailing_id, now)
        if not mailing:
            return []
        lease_until = now + LEASE
        messages = Message.objects.claim(
            mailing_id=mailing.pk,
            limit=limit,
            filters=mailing.filters,
            unchanged_since=mailing.updated_at,
            token=self._token,
            lease_until=lease_until,
            recheck_at=now + settings.MAILING_REPEAT_TIMEOUT,
            now=now,
        )
        terms = _Terms(
            text=json.dumps(mailing.text),
            begin_before=min(mailing.stop_time, lease_until - LEASE_MARGIN),
        )
        return [(message, terms) for message in messages]

    def _submit(self) -> None:
        now = timezone.now()
        for _ in range(min(self._transport.free, len(self._claimed))):
            message, terms = self._claimed.popleft()
            if now < terms.begin_before:
                request = sender.Request(message.id, message.phone_number, terms.text)
                self._transport.submit(request)
            else:
                self._late.append(message.id)

    def _collect(self) -> None:
        answers = self._transport.poll(0.05)
        self.answered += len(answers)
        now = timezone.now()
        for answer in answers:
            verdict = sender.judge(answer)
            self._outcomes.append(_outcome(answer, verdict, now))
            if verdict.halt and not self.is_halted:
                logger.error("Mailing %s: sending stops. %s", self._mailing_id, verdict.error)
                self._halt()

    def _halt(self) -> None:
        """Claim no more, and give back what is not handed over yet."""
        self.is_halted, self._may_claim = True, False
        self._late.extend(message.id for message, _ in self._claimed)
        self._claimed.clear()

    def _waited(self) -> float:
        return monotonic() - self._recorded_at

    def _record(self) -> None:
        if self._outcomes:
            written = Message.objects.record(self._outcomes, token=self._token)
            if written < len(self._outcomes):
                logger.warning(
                    "Mailing %s: %s answers came after their lease had ended.",
                    self._mailing_id,
                    len(self._outcomes) - written,
                )
            self._outcomes = []
        self._recorded_at = monotonic()


def _outcome(answer: sender.Answer, verdict: sender.Verdict, now: datetime) -> Outcome:
    """Return what is written to the message that an answer is about."""
    if verdict.is_success:
        return Outcome(answer.id, Message.Status.SUCCESS, now)
    if verdict.final:
        next_attempt_at = None
    elif verdict.halt:
        next_attempt_at = now + HALT_DELAY
    elif answer.retry_after:
        next_attempt_at = now + timedelta(seconds=min(answer.retry_after, MAX_RETRY_AFTER))
    else:
        next_attempt_at = now + settings.MAILING_REPEAT_TIMEOUT
    return Outcome(
        answer.id,
        Message.Status.PENDING if verdict.halt else Message.Status.FAIL,
        now,
        next_attempt_at=next_attempt_at,
        error_code=verdict.error_code,
        error=verdict.error[:255],
    )
