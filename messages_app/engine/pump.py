"""The pump: takes one mailing's due messages through the sender for a while.

Claim, send, record, round and round in one thread: the next batch is claimed while the last is
in flight, answers are written in sub-batches, and no transaction is open while HTTP is.
"""

import logging
import secrets
import time
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction

from messages_app import sender
from messages_app.engine import bulk, recovery
from messages_app.engine.claim_queue import LOOK_DELAY, ClaimQueue, ReadyMessage
from messages_app.engine.outcomes import outcome
from messages_app.engine.records import Outcome
from messages_app.engine.spool import Spool
from messages_app.mailing_snapshot import ReadMailing
from messages_app.models import Lease, SendingControl
from messages_app.sending import control
from toolkit.clock import Clock, monotonic

LEASE = 6  # times the longest request
LEASE_MARGIN = 1.5  # the same: a request is begun only while its lease covers it to the end
RECORD_SIZE = 1000  # answers
RECORD_DELAY = 0.2  # seconds an answer waits for company

logger = logging.getLogger(__name__)


def lease_length() -> timedelta:
    """Return for how long a delivery may hold messages: a minute, where a request has 10 s."""
    return LEASE * timedelta(seconds=settings.MESSAGE_SENDER_TIMEOUT)


def deliver(mailing_id: int, read_mailing: ReadMailing) -> int:
    """Send a mailing's due messages until none is left or the time box ends; count the answers.

    Raises:
        ImproperlyConfigured: there is no sender token.
        django.db.Error: the database does not answer. What was sent meanwhile is in the spool.
        OSError: the spool cannot be written; nothing more was sent.
    """
    transport, clock = sender.transport(), Clock()
    recovery.replay_orphans(now=clock.now())
    if control.is_blocked(SendingControl.objects.current(), clock.now()):
        return 0
    delivery = _Delivery(mailing_id, read_mailing, transport, clock)
    delivery.run()
    return delivery.answered


class _Delivery:
    """One run of the pump, under a lease of its own on everything it claims."""

    def __init__(
        self,
        mailing_id: int,
        read_mailing: ReadMailing,
        transport: sender.Transport,
        clock: Clock,
    ) -> None:
        self.answered = 0
        self._transport = transport
        self._clock = clock
        self._lease = Lease(
            token=secrets.randbits(63),
            mailing_id=mailing_id,
            expires_at=clock.now() + lease_length(),
        )
        end = monotonic() + (LEASE - LEASE_MARGIN) * settings.MESSAGE_SENDER_TIMEOUT
        self._queue = ClaimQueue(self._lease, read_mailing, clock, end=end)
        self._open: dict[int, ReadyMessage] = {}
        self._sent: list[int] = []
        self._outcomes: list[Outcome] = []
        self._streak = control.AnswerStreak()
        self._recorded_at = monotonic()

    def run(self) -> None:
        self._spool = Spool(self._lease.token, self._lease.mailing_id)
        try:
            self._take_lease()
            self._pump()
            self._lease.delete()
        except BaseException:
            self._save_what_comes()
            raise
        self._spool.remove()

    def _take_lease(self) -> None:
        try:
            with transaction.atomic():
                self._lease.save(force_insert=True)
        except IntegrityError:
            self._queue.drain()  # The mailing was deleted.

    def _pump(self) -> None:
        while self._queue.may_claim or self._queue or self._open:
            if len(self._queue) <= self._transport.capacity:
                self._queue.claim(answered=self.answered, is_idle=not self._open)
            self._begin()
            self._collect()
            if self._should_record():
                self._record()
        self._record()

    def _save_what_comes(self) -> None:
        """Take in the answers that are still to come, without the database.

        Where even the spool fails (a full disk), the database is the one that may be there.
        """
        try:
            while self._open:
                self._collect()
            self._spool.keep()
        except OSError:
            logger.exception("The spool cannot be written. Make room in %s.", settings.SPOOL_DIR)
            while self._open:
                self._hear()
            self._record()

    def _begin(self) -> None:
        """Hand over as many messages as the transport takes."""
        if begun := self._queue.pop_ready(self._transport.capacity):
            self._spool.begin([waiting.message.id for waiting in begun])
        for waiting in begun:
            message = waiting.message
            self._open[message.id] = waiting
            self._transport.submit(sender.Request(message.id, message.phone_number, waiting.text))

    def _collect(self) -> None:
        """Take in the answers that have come, waiting a little for one."""
        if self._open:
            sent, outcomes = self._hear()
            self._spool.answer(sent, outcomes, self._heard_at)
        else:
            time.sleep(self._queue.idle_time())

    def _hear(self) -> tuple[list[int], list[Outcome]]:
        """Return the messages that were taken at the first attempt, and what came of others."""
        is_patient = not self._queue or not self._transport.capacity
        answers = self._transport.poll(LOOK_DELAY if is_patient else self._queue.idle_time())
        self.answered += len(answers)
        sent: list[int] = []
        outcomes: list[Outcome] = []
        now = self._heard_at = self._clock.now()
        for answer in answers:
            waiting = self._open.pop(answer.id, None)
            if not waiting:
                continue  # It is of a delivery that could not wait for it.
            verdict = sender.classify(answer)
            self._streak.add(answer, verdict)
            attempt = waiting.message.attempt
            if attempt == 1 and verdict.is_success:
                sent.append(answer.id)
            else:
                stop_time = waiting.stop_time
                outcomes.append(
                    outcome(answer, verdict, attempt=attempt, stop_time=stop_time, now=now)
                )
        self._sent += sent
        self._outcomes += outcomes
        return sent, outcomes

    def _should_record(self) -> bool:
        """Tell whether the answers are many or old enough, the last ones, or alarm the breaker."""
        number = len(self._sent) + len(self._outcomes)
        is_last = number > 0 and not self._open and not self._queue
        is_enough = number >= RECORD_SIZE or monotonic() - self._recorded_at >= RECORD_DELAY
        return is_last or is_enough or self._streak.is_alarming

    def _record(self) -> None:
        """Write what has come, and give back what is too late to be sent."""
        lease = self._lease
        sent, outcomes, to_release = self._sent, self._outcomes, self._queue.to_release
        if sent or outcomes:
            written = bulk.record_accepted(sent, token=lease.token, at=self._heard_at)
            written += bulk.record(outcomes, token=lease.token)
            if written < len(sent) + len(outcomes):
                logger.warning(
                    "Mailing %s: answers came after their lease had ended.", lease.mailing_id
                )
                recovery.record_late(lease, sent=sent, outcomes=outcomes, at=self._heard_at)
            self._sent, self._outcomes = [], []
            self._update_breaker()
        if bulk.release(to_release, token=lease.token) < len(to_release):
            recovery.undo_reclaim(to_release, lease, now=self._clock.now())
        self._queue.to_release = []
        self._recorded_at = monotonic()

    def _update_breaker(self) -> None:
        """Update the breaker from the recorded answers, and stop claiming where it opened."""
        streak, self._streak = self._streak, control.AnswerStreak()
        queue = self._queue
        goes_on = control.update_breaker(
            streak, failures=queue.failures, is_probe=queue.is_probe, now=self._clock.now()
        )
        if not goes_on:
            queue.drain()
        elif queue.is_probe:
            queue.resume()
