"""The pump: sends one mailing's due messages for a bounded time.

One thread looks, claims, sends and records in turns: ten times a second it looks whether it may go
on, the next batch is claimed while the last one is in flight, answers are written in batches, and
no transaction is open during HTTP requests.
"""

import logging
import secrets
import time
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction

from messages_app import sender
from messages_app.engine import bulk, recovery
from messages_app.engine.claim_queue import MAX_IDLE_TIME, ClaimQueue, ReadyMessage
from messages_app.engine.outcomes import outcome
from messages_app.engine.records import Claimed, Outcome
from messages_app.mailing_snapshot import ReadMailing
from messages_app.models import Lease, SendingControl
from messages_app.sending import control
from toolkit.clock import Clock, monotonic

LEASE = 6  # length of a lease, in multiples of MESSAGE_SENDER_TIMEOUT
# No request begins in the last part of a lease, so that it ends before the lease does. In
# multiples of MESSAGE_SENDER_TIMEOUT.
LEASE_MARGIN = 1.5
RECORD_SIZE = 1000  # answers that are written at once
RECORD_DELAY = 0.2  # seconds after which fewer answers are written, too

logger = logging.getLogger(__name__)


def lease_length() -> timedelta:
    """Return how long a lease lasts: 60 s with a MESSAGE_SENDER_TIMEOUT of 10 s."""
    return LEASE * timedelta(seconds=settings.MESSAGE_SENDER_TIMEOUT)


def new_token() -> int:
    """Return a random lease token, below 0: those of earlier versions are above.

    A trigger keeps their deliveries away from mailings whose sender ids they do not know.
    """
    return -1 - secrets.randbits(63)


def deliver(mailing_id: int, read_mailing: ReadMailing, is_stopping: Callable[[], bool]) -> int:
    """Send a mailing's due messages until none is left or CLAIM_TIME_BOX has passed.

    No request begins while sending is blocked (`sending.control`), the mailing does not run, or
    `is_stopping` says that this process is to end. Open ones are waited for.

    Returns:
        The number of answers received.

    Raises:
        ImproperlyConfigured: MESSAGE_SENDER_TOKEN is empty.
        django.db.Error: the database does not answer. Answers not written to it are in the spool.
        OSError: the spool cannot be written, so nothing more was sent.
    """
    transport, clock = sender.transport(), Clock()
    recovery.replay_orphans(now=clock.now())
    if control.is_blocked(SendingControl.objects.current(), clock.now()):
        return 0
    delivery = _Delivery(mailing_id, read_mailing, is_stopping, transport, clock)
    delivery.run()
    return delivery.answered


class _Delivery:
    """One run of the pump. Everything it claims is leased under one token of its own."""

    def __init__(
        self,
        mailing_id: int,
        read_mailing: ReadMailing,
        is_stopping: Callable[[], bool],
        transport: sender.Transport,
        clock: Clock,
    ) -> None:
        self.answered = 0
        self._transport = transport
        self._clock = clock
        self._lease = Lease(
            token=new_token(),
            mailing_id=mailing_id,
            expires_at=clock.now() + lease_length(),
        )
        end = monotonic() + (LEASE - LEASE_MARGIN) * settings.MESSAGE_SENDER_TIMEOUT
        self._queue = ClaimQueue(self._lease, read_mailing, clock, end=end, is_stopping=is_stopping)
        self._open: dict[int, ReadyMessage] = {}
        self._sent: list[Claimed] = []
        self._outcomes: list[Outcome] = []
        self._streak = control.AnswerStreak()
        self._recorded_at = monotonic()

    def run(self) -> None:
        self._spool = recovery.open_spool(self._lease)
        try:
            self._take_lease()
            self._pump()
            recovery.end_lease(self._lease)
        except BaseException:
            self._save_open_answers()
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
            self._look()
            if len(self._queue) <= self._transport.capacity:
                most = len(self._open) + self._transport.capacity
                self._queue.claim(answered=self.answered, most_open=most)
                self._look()  # The claim may have had to wait for the database.
            self._begin()
            self._collect()
            if self._should_record():
                self._record()
        self._record()

    def _look(self) -> None:
        if self._queue.look(is_idle=not self._open):
            self._record()

    def _save_open_answers(self) -> None:
        """Receive the answers to all open requests and keep them in the spool.

        Where the spool cannot be written (a full disk), they are written to the database instead.
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
        """Begin the requests of as many ready messages as the transport has capacity for."""
        if begun := self._queue.pop_ready(self._transport.capacity):
            self._spool.begin([waiting.message for waiting in begun])
        for waiting in begun:
            message = waiting.message
            self._open[message.id] = waiting
            self._transport.submit(
                sender.Request(message.id, waiting.sender_id, message.phone_number, waiting.text)
            )

    def _collect(self) -> None:
        """Receive answers into the spool; with no request open, sleep until there is work."""
        if self._open:
            sent, outcomes = self._hear()
            self._spool.answer([message.id for message in sent], outcomes, self._heard_at)
        else:
            time.sleep(self._queue.idle_time())

    def _hear(self) -> tuple[list[Claimed], list[Outcome]]:
        """Receive answers, waiting at most MAX_IDLE_TIME seconds for one.

        Returns:
            The messages accepted at their first attempt, and the outcomes of all others.
        """
        is_patient = not self._queue or not self._transport.capacity
        answers = self._transport.poll(MAX_IDLE_TIME if is_patient else self._queue.idle_time())
        self.answered += len(answers)
        sent: list[Claimed] = []
        outcomes: list[Outcome] = []
        now = self._heard_at = self._clock.now()
        for answer in answers:
            waiting = self._open.pop(answer.id, None)
            if not waiting:
                continue  # An earlier delivery of this process began the request and was cut off.
            verdict = sender.classify(answer)
            if self._queue.is_probe or not answer.is_excess:
                self._streak.add(answer, verdict)
            attempt = waiting.message.attempt
            if attempt == 1 and verdict.is_success:
                sent.append(waiting.message)
            else:
                outcomes.append(outcome(answer, verdict, attempt=attempt, now=now))
        self._sent += sent
        self._outcomes += outcomes
        return sent, outcomes

    def _should_record(self) -> bool:
        """Tell whether to write the answers now.

        That is when RECORD_SIZE of them or RECORD_DELAY seconds have come together, when no others
        are to come, or when the answers open the breaker.
        """
        number = len(self._sent) + len(self._outcomes)
        is_last = number > 0 and not self._open and not self._queue
        is_enough = number >= RECORD_SIZE or monotonic() - self._recorded_at >= RECORD_DELAY
        return is_last or is_enough or self._streak.is_alarming

    def _record(self) -> None:
        """Write the received answers, and release the messages that are not to be sent any more."""
        lease = self._lease
        sent, outcomes, to_release = self._sent, self._outcomes, self._queue.to_release
        if sent or outcomes:
            written = bulk.record_accepted(
                sent, mailing_id=lease.mailing_id, token=lease.token, at=self._heard_at
            )
            written += bulk.record(outcomes, token=lease.token)
            if written < len(sent) + len(outcomes):
                logger.warning(
                    "Mailing %s: answers came after their lease had ended.", lease.mailing_id
                )
                ids = [message.id for message in sent]
                recovery.record_late(lease, sent=ids, outcomes=outcomes, at=self._heard_at)
            self._sent, self._outcomes = [], []
            self._update_breaker()
        if bulk.release(to_release, token=lease.token) < len(to_release):
            recovery.undo_reclaim(to_release, lease, now=self._clock.now())
        self._queue.to_release = []
        self._recorded_at = monotonic()

    def _update_breaker(self) -> None:
        """Update the breaker from the recorded answers; claim no more if it is open."""
        streak, self._streak = self._streak, control.AnswerStreak()
        queue = self._queue
        may_send = control.update_breaker(streak, is_probe=queue.is_probe, now=self._clock.now())
        if not may_send:
            queue.drain()
        elif queue.is_probe:
            queue.resume()
