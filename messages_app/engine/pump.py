"""The pump: sends due messages of one or of many mailings for a bounded time.

One thread looks, claims, sends and records in turns: ten times a second it looks whether it may go
on and which other mailings wait, the next batch is claimed while the last one is in flight, answers
are written in batches, and no transaction is open during HTTP requests.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

from django.conf import settings

from messages_app import sender
from messages_app.engine import bulk, doorbells, leasing, recovery
from messages_app.engine.claim_queue import MAX_IDLE_TIME, ClaimQueue, ReadyMessage
from messages_app.engine.outcomes import outcome
from messages_app.engine.records import Bell, Claimed
from messages_app.engine.turn import Turn
from messages_app.mailing_snapshot import ReadMailings
from messages_app.models import SendingControl
from messages_app.sending import control, pulse
from toolkit import request_ids
from toolkit.clock import Clock, monotonic

RECORD_SIZE = 1000  # answers that are written at once
RECORD_DELAY = 0.2  # seconds after which fewer answers are written, too

logger = logging.getLogger(__name__)


def deliver(
    bell: Bell,
    read_mailings: ReadMailings,
    *,
    is_stopping: Callable[[], bool],
    is_wanted: Callable[[], bool],
) -> int:
    """Send a mailing's due messages, and those of others that wait, for a bounded time.

    It ends when none is left or others have to have their turn (`ClaimQueue`). No request begins
    while sending is blocked (`sending.control`), its mailing does not run, or `is_stopping` says
    that this process is to end. Open ones are waited for. Whatever of its mailings is due in the
    end is rung for. `is_wanted` says that there is work for this process that no doorbell is for.

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
        doorbells.silence_waiting(bell)
        return 0
    delivery = _Delivery(read_mailings, is_stopping, is_wanted, transport, clock)
    began_at = monotonic()
    delivery.run(bell)
    if delivery.answered:
        logger.info(
            "The sender accepted %d of %d messages.",
            delivery.accepted, delivery.answered,
            extra={
                "answers": delivery.answered,
                "accepted": delivery.accepted,
                "seconds": round(monotonic() - began_at, 3),
            },
        )  # fmt: skip
    return delivery.answered


class _Delivery:
    """One run of the pump. Everything it claims is leased under tokens of its own."""

    def __init__(
        self,
        read_mailings: ReadMailings,
        is_stopping: Callable[[], bool],
        is_wanted: Callable[[], bool],
        transport: sender.Transport,
        clock: Clock,
    ) -> None:
        self.answered = self.accepted = 0
        self._read_mailings = read_mailings
        self._is_wanted = is_wanted
        self._transport = transport
        self._request_id = request_ids.current()
        self._clock = clock
        self._expires_at = clock.now() + leasing.lease_length()
        self._queue = ClaimQueue(
            read_mailings,
            clock,
            expires_at=self._expires_at,
            end=monotonic() + leasing.seconds_to_begin(),
            is_stopping=is_stopping,
            is_wanted=self._has_others_waiting,
        )
        self._open: dict[int, ReadyMessage] = {}
        self._unrecorded = 0  # answers
        self._streak = control.AnswerStreak()
        self._heard_at = clock.now()
        self._recorded_at = monotonic()

    def run(self, bell: Bell) -> None:
        try:
            if doorbells.answer(bell, self._clock.now()):
                self._join([bell])
            self._join_waiting()
            while self._queue.turns:
                self._pump()
                self._join_waiting()
        except BaseException:
            self._save_open_answers()
            raise

    def _pump(self) -> None:
        while self._queue.may_claim or self._queue or self._open:
            self._look()
            self._begin()
            most = len(self._open) + self._transport.capacity
            if len(self._queue) <= most // 2:  # Early, so that the sender is busy meanwhile.
                self._queue.claim(answered=self.answered, most_open=most)
                self._look()  # The claim may have had to wait for the database.
                self._begin()
            self._collect()
            if self._should_record():
                self._keep_busy()
                self._record()
        self._record()
        self._queue.drain()
        self._end(self._queue.remove_ended())

    def _keep_busy(self) -> None:
        """Give the sender something to do while this process waits for the database."""
        if self._queue and self._transport.capacity and not self._streak.is_alarming:
            self._begin()
            self._collect(0)  # That is when a transport writes to the network.

    def _look(self) -> None:
        if self._queue.look(is_idle=not self._open):
            if any(turn.to_release for turn in self._turns):
                self._record()
            self._join_waiting()

    @property
    def _turns(self) -> Collection[Turn]:
        return self._queue.turns.values()

    def _has_others_waiting(self) -> bool:
        return (
            doorbells.is_anyone_waiting(self._queue.turns, self._clock.now()) or self._is_wanted()
        )

    def _join_waiting(self) -> None:
        """Serve other mailings, too, whose doorbell nobody has answered yet."""
        if (places := self._queue.places) > 0:
            now = self._clock.now()
            self._join(doorbells.answer_waiting(places, besides=self._queue.turns, now=now))

    def _join(self, bells: Sequence[Bell]) -> None:
        """Serve the mailings of these doorbells; silence those of mailings that do not run."""
        if not bells:
            return
        mailings = self._read_mailings([bell.mailing_id for bell in bells], self._clock.now())
        turns = [
            Turn(bell, leasing.new_lease(bell.mailing_id, self._expires_at), mailing)
            for bell in bells
            if (mailing := mailings.get(bell.mailing_id))
        ]
        if not leasing.take([turn.lease for turn in turns]):
            for turn in turns:  # One of the mailings was deleted. The tick rings for the others.
                turn.spool.remove()
            turns = []
        self._queue.add(turns)
        doorbells.silence({*bells}.difference(turn.bell for turn in turns))

    def _end(self, turns: Sequence[Turn]) -> None:
        """End turns of which nothing is held; ring for those of which messages are due."""
        if not turns:
            return
        leasing.end([turn.lease for turn in turns])
        for turn in turns:
            turn.spool.remove()
        now = self._clock.now()
        doorbells.hang_up([turn.bell for turn in turns], self._read_mailings, now=now)

    def _save_open_answers(self) -> None:
        """Receive the answers to all open requests and keep them in the spool.

        Where the spool cannot be written (a full disk), they are written to the database instead.
        """
        try:
            while self._open:
                self._collect()
            for turn in self._turns:
                turn.spool.keep()
        except OSError:
            logger.exception("The spool cannot be written. Make room in %s.", settings.SPOOL_DIR)
            while self._open:
                self._hear()
            self._record()

    def _begin(self) -> None:
        """Begin the requests of as many ready messages as the transport has capacity for."""
        begun = self._queue.pop_ready(self._transport.capacity)
        by_turn: dict[Turn, list[Claimed]] = defaultdict(list)
        for message, turn, *_ in begun:
            by_turn[turn].append(message)
        for turn, messages in by_turn.items():
            turn.spool.begin(messages)
        for waiting in begun:
            message = waiting.message
            self._open[message.id] = waiting
            self._transport.submit(
                sender.Request(
                    message.id,
                    waiting.sender_id,
                    message.phone_number,
                    waiting.text,
                    self._request_id,
                )
            )

    def _collect(self, timeout: float | None = None) -> None:
        """Receive answers into the spool, waiting at most `timeout` seconds for one.

        Without `timeout` it waits, or sleeps if no request is open, until there is work.
        """
        if timeout is None:
            is_patient = self._open and (not self._queue or not self._transport.capacity)
            timeout = MAX_IDLE_TIME if is_patient else self._queue.idle_time()
        if not self._open:
            time.sleep(timeout)
            return
        for turn in self._hear(timeout):
            turn.spool_answers(self._heard_at)

    def _hear(self, timeout: float = MAX_IDLE_TIME) -> Collection[Turn]:
        """Receive answers, waiting at most `timeout` seconds for one.

        Returns:
            The turns of their messages.
        """
        answers = self._transport.poll(timeout)
        self.answered += len(answers)
        turns = set()
        now = self._heard_at = self._clock.now()
        for answer in answers:
            waiting = self._open.pop(answer.id, None)
            if not waiting:
                continue  # An earlier delivery of this process began the request and was cut off.
            turn, attempt = waiting.turn, waiting.message.attempt
            if answer.status:
                pulse.tally.add(answer.latency or answer.seconds)
            verdict = sender.classify(answer)
            self.accepted += verdict.is_success
            if self._queue.is_probe or not answer.is_excess:
                self._streak.add(answer, verdict)
            if attempt == 1 and verdict.is_success:
                turn.sent.append(waiting.message)
            else:
                turn.outcomes.append(outcome(answer, verdict, attempt=attempt, now=now))
            self._unrecorded += 1
            turns.add(turn)
        return turns

    def _should_record(self) -> bool:
        """Tell whether to write the answers now.

        That is when RECORD_SIZE of them or RECORD_DELAY seconds have come together, when no others
        are to come, or when the answers open the breaker.
        """
        is_last = self._unrecorded > 0 and not self._open and not self._queue
        is_enough = self._unrecorded >= RECORD_SIZE
        is_time = monotonic() - self._recorded_at >= RECORD_DELAY
        return is_last or is_enough or is_time or self._streak.is_alarming

    def _record(self) -> None:
        """Write the received answers, and release the messages that are not to be sent any more."""
        if self._unrecorded:
            self._record_answers()
            self._update_breaker()
        self._release()
        for turn in self._turns:
            turn.forget_recorded()
        self._recorded_at = monotonic()
        pulse.tally.save(len(self._open), now=self._clock.now())
        self._end(self._queue.remove_ended())

    def _release(self) -> None:
        giving_back = [turn for turn in self._turns if turn.to_release]
        ids = [pk for turn in giving_back for pk in turn.to_release]
        if bulk.release(ids, tokens=[turn.lease.token for turn in giving_back]) < len(ids):
            for turn in giving_back:
                recovery.undo_reclaim(turn.to_release, turn.lease, now=self._clock.now())

    def _record_answers(self) -> None:
        sent = {turn.mailing.id: turn.sent for turn in self._turns if turn.sent}
        tokens = [turn.lease.token for turn in self._turns if turn.sent]
        written = bulk.record_accepted(sent, tokens=tokens, at=self._heard_at)
        for turn in self._turns:
            written += bulk.record(turn.outcomes, token=turn.lease.token)
        if written < self._unrecorded:
            self._record_late()
        self._unrecorded = 0

    def _record_late(self) -> None:
        """Write those of the answers that came after their lease was reclaimed."""
        self._queue.expire()
        with_answers = [turn for turn in self._turns if turn.sent or turn.outcomes]
        held = leasing.existing([turn.lease for turn in with_answers])
        for turn in with_answers:
            if turn.lease.token not in held:
                logger.warning(
                    "Mailing %s: answers came after their lease had ended.",
                    turn.mailing.id,
                    extra={"mailing": turn.mailing.id},
                )
            ids = [message.id for message in turn.sent]
            recovery.record_late(turn.lease, sent=ids, outcomes=turn.outcomes, at=self._heard_at)

    def _update_breaker(self) -> None:
        """Update the breaker from the recorded answers; claim no more if it is open."""
        streak, self._streak = self._streak, control.AnswerStreak()
        queue = self._queue
        may_send = control.update_breaker(streak, is_probe=queue.is_probe, now=self._clock.now())
        if not may_send:
            queue.drain()
        elif queue.is_probe:
            queue.resume()
