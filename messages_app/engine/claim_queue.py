"""The messages that one delivery has claimed and not handed to the sender yet.

They are claimed ahead of time, as far as sending control, the mailing and its window allow.
"""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings

from messages_app.engine import bulk
from messages_app.engine.records import Claimed
from messages_app.mailing_snapshot import ReadMailing
from messages_app.models import Lease, Message, SendingControl
from messages_app.sending import control
from toolkit.clock import Clock, monotonic
from toolkit.sending_hours import Window, next_closing, next_opening

CLAIM_TIME_BOX = 2.0  # seconds that a delivery claims; then other mailings have their turn
MAX_CLAIM = 2000  # messages
LOOK_DELAY = 0.05  # seconds after which the loop looks again for something to do
# Where a rate is set: so many seconds' worth of messages are claimed at once.
RATE_BATCH_SECONDS = 0.25
# Seconds after its slot in which a message may still begin. One that is later is released, because
# many late messages that begin together would exceed the rate.
MAX_SLOT_DELAY = 0.04


class ReadyMessage(NamedTuple):
    """A claimed message, and when its request may begin.

    `begin_at` and `begin_before` are seconds of `toolkit.clock.monotonic`.
    """

    message: Claimed
    sender_id: int
    text: str  # as JSON
    begin_before: float
    begin_at: float = 0.0


class ClaimQueue:
    """The claimed messages of one delivery that are not handed to the sender yet.

    `may_claim` says whether it may claim more messages. `is_probe` says that the breaker is open
    and lets one message through. `failures` are the failed attempts in a row, over all workers,
    when sending control was last read. `to_release` are the ids of claimed messages that are not
    to be sent any more.
    """

    def __init__(
        self, lease: Lease, read_mailing: ReadMailing, clock: Clock, *, end: float
    ) -> None:
        """Claim under a lease. No request begins after `end`, in seconds of `monotonic`."""
        self._read_mailing = read_mailing
        self.may_claim = True
        self.is_probe = False
        self.failures = 0
        self.to_release: list[int] = []
        self._lease = lease
        self._clock = clock
        self._end = end
        self._began_at = monotonic()
        self._look_at = 0.0
        self._waiting: deque[ReadyMessage] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def pop_ready(self, number: int) -> list[ReadyMessage]:
        """Remove and return at most `number` messages whose requests are to begin now.

        Those that it is too late for are put into `to_release`.
        """
        now = monotonic()
        ready: list[ReadyMessage] = []
        while self._waiting and len(ready) < number and self._waiting[0].begin_at <= now:
            waiting = self._waiting.popleft()
            if now < waiting.begin_before:
                ready.append(waiting)
            else:
                self.to_release.append(waiting.message.id)
        return ready

    def idle_time(self) -> float:
        """Return the seconds until a message or the next claim is due, at most LOOK_DELAY."""
        due_at = self._waiting[0].begin_at if self._waiting else self._look_at
        return min(LOOK_DELAY, max(0.001, due_at - monotonic()))

    def drain(self) -> None:
        """Claim no more, and put all waiting messages into `to_release`."""
        self.may_claim = False
        self.to_release += [waiting.message.id for waiting in self._waiting]
        self._waiting.clear()

    def resume(self) -> None:
        """Claim again after a successful probe, unless CLAIM_TIME_BOX has passed."""
        self.is_probe = False
        self.may_claim = monotonic() - self._began_at < CLAIM_TIME_BOX

    def claim(self, *, answered: int, is_idle: bool) -> None:
        """Claim about a second's worth of messages, unless sending is blocked.

        `answered` is the number of answers of this delivery so far, which tells its speed.
        `is_idle` says that no request is open: only then may a message be the breaker's probe.
        """
        spent = monotonic() - self._began_at
        if spent >= CLAIM_TIME_BOX:
            self.may_claim = False
        if not self.may_claim or monotonic() < self._look_at:
            return
        state, now = SendingControl.objects.current(), self._clock.now()
        self.failures = state.failures
        if state.is_paused or (state.opened_at and not (is_idle and self._take_probe(now))):
            self.drain()
        elif control.has_no_slots(state, now):
            self._look_at = monotonic() + LOOK_DELAY
        else:
            rate, pace = control.effective_rate(state), int(answered / spent) if spent else 0
            claimed = self._claim(self._limit(rate, pace), now)
            self._waiting.extend(self._with_slots(claimed) if rate and claimed else claimed)
            if self.is_probe and not claimed:
                control.return_probe(now)

    def _take_probe(self, now: datetime) -> bool:
        until = now + timedelta(seconds=2 * settings.MESSAGE_SENDER_TIMEOUT)
        self.is_probe = SendingControl.objects.take_probe(now, until=until)
        return self.is_probe

    def _limit(self, rate: float | None, pace: int) -> int:
        """Return how many messages to claim.

        `rate` and `pace` are messages a second: those allowed, and those answered so far.
        """
        if self.is_probe:
            return 1
        limit = min(MAX_CLAIM, max(settings.MESSAGE_SENDER_CONCURRENCY, pace))
        return min(limit, max(1, int(rate * RATE_BATCH_SECONDS))) if rate else limit

    def _claim(self, limit: int, now: datetime) -> list[ReadyMessage]:
        mailing = self._read_mailing(now)
        if not mailing:
            self.may_claim = False
            return []
        messages, is_more = bulk.claim(
            mailing,
            limit=limit,
            token=self._lease.token,
            lease_until=self._lease.expires_at,
            recheck_at=now + settings.MAILING_REPEAT_TIMEOUT,
            now=now,
        )
        self.may_claim = is_more and not self.is_probe
        text, end = json.dumps(mailing.text), min(self._end, self._monotonic_at(mailing.stop_time))
        claimed = [
            ReadyMessage(message, mailing.sender_id(message.id, message.phone_number), text, end)
            for message in messages
        ]
        return self._inside(mailing.window, claimed) if mailing.window else claimed

    def _inside(self, window: Window, claimed: list[ReadyMessage]) -> list[ReadyMessage]:
        """Release messages whose client's window is shut, due when it opens; return the others.

        Those are to begin before their window shuts.
        """
        now, inside = self._clock.now(), []
        by_id = {waiting.message.id: waiting for waiting in claimed}
        for zone, ids in Message.objects.filter(pk__in=by_id).by_zone().items():
            opens_at = next_opening(window, zone, now)
            if opens_at > now:
                bulk.release(ids, token=self._lease.token, due_at=opens_at)
                continue
            shut_at = self._monotonic_at(next_closing(window, zone, now))
            inside += [
                by_id[pk]._replace(begin_before=min(shut_at, by_id[pk].begin_before)) for pk in ids
            ]
        return inside

    def _with_slots(self, claimed: Sequence[ReadyMessage]) -> Iterator[ReadyMessage]:
        """Yield the messages, each with the slot that is reserved for it."""
        first, pause = control.reserve_slots(len(claimed), now=self._clock.now())
        begin_at = self._monotonic_at(first)
        for waiting in claimed:
            begin_before = min(waiting.begin_before, begin_at + MAX_SLOT_DELAY)
            yield waiting._replace(begin_at=begin_at, begin_before=begin_before)
            begin_at += pause.total_seconds()

    def _monotonic_at(self, moment: datetime) -> float:
        return monotonic() + (moment - self._clock.now()).total_seconds()
