"""The messages that one delivery has claimed and not handed to the sender yet.

They are claimed ahead of time, as far as sending control, the mailing and its window allow, and
given back as soon as one of these does not allow it any more.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings

from messages_app.engine import bulk
from messages_app.engine.records import Claimed
from messages_app.mailing_snapshot import MailingSnapshot, ReadMailing
from messages_app.models import Lease, Message, SendingControl
from messages_app.sending import control
from toolkit.clock import Clock, monotonic
from toolkit.sending_hours import Window, next_closing, next_opening

CLAIM_TIME_BOX = 2.0  # seconds that a delivery begins requests; then others have their turn
LOOK_INTERVAL = 0.1  # seconds between two looks at what may stop a delivery
# So many seconds' worth of messages are claimed at once, and at least as many as can be open.
# That covers a round trip, however long it is: no more messages can begin during it than are open.
# With a tenth of a second, claims cost a busy machine a third of its throughput.
CLAIM_AHEAD_SECONDS = 0.25
MAX_IDLE_TIME = 0.05  # seconds that the loop waits at most for something to do
# Seconds until another attempt where nothing was claimed, because another delivery was claiming.
BUSY_LINE_TIME = 0.01
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
    and lets one message through. `to_release` are the ids of claimed messages that are not to be
    sent any more.
    """

    def __init__(
        self,
        lease: Lease,
        read_mailing: ReadMailing,
        clock: Clock,
        *,
        end: float,
        is_stopping: Callable[[], bool],
    ) -> None:
        """Claim under a lease, until `is_stopping` says that this process is to end.

        No request begins after `end`, in seconds of `monotonic`.
        """
        self._read_mailing = read_mailing
        self._is_stopping = is_stopping
        self.may_claim = True
        self.is_probe = False
        self.to_release: list[int] = []
        self._lease = lease
        self._clock = clock
        self._end = end
        self._turn_began_at = monotonic()
        self._has_claimed = False
        self._look_at = 0.0
        self._claim_at = 0.0
        self._control = SendingControl()  # as it was at the last look
        self._mailing: MailingSnapshot | None = None  # the same
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
        """Return the seconds until a message or the next claim is due, at most MAX_IDLE_TIME."""
        due_at = self._waiting[0].begin_at if self._waiting else self._claim_at
        return min(MAX_IDLE_TIME, max(0.001, due_at - monotonic()))

    def drain(self) -> None:
        """Claim no more, and put all waiting messages into `to_release`."""
        self.may_claim = False
        self._give_back()

    def resume(self) -> None:
        """Claim again after a successful probe, unless CLAIM_TIME_BOX has passed."""
        self.is_probe = False
        self.may_claim = not self._is_turn_over()

    def look(self, *, is_idle: bool) -> bool:
        """Look, every LOOK_INTERVAL, whether messages may still be claimed and begun.

        Whatever waits goes back into `to_release` when they may not, and also when the mailing was
        edited: it is then claimed anew, for the new text, filters and times. `is_idle` says that
        no request is open: only then may a message be the breaker's probe.

        Returns:
            Whether messages were given back. Release them at once, for others to claim.
        """
        if monotonic() < self._look_at:
            return False
        now, number = self._clock.now(), len(self.to_release)
        self._control, mailing = SendingControl.objects.current(), self._read_mailing(now)
        if mailing and self._may_go_on(is_idle, now):
            self._adopt(mailing)
            self.may_claim &= not self._is_turn_over()
        else:
            self._stop(now)
        self._look_at = monotonic() + LOOK_INTERVAL
        return len(self.to_release) > number

    def claim(self, *, answered: int, most_open: int) -> None:
        """Claim the messages that are needed until the next claim, if the last look allowed it.

        `answered` is the number of answers of this delivery so far, which tells its speed;
        `most_open` is how many requests may be open now.
        """
        if not self.may_claim or not self._mailing or monotonic() < self._claim_at:
            return
        now, rate = self._clock.now(), control.effective_rate(self._control)
        if control.has_no_slots(self._control, now):
            self._claim_at = monotonic() + MAX_IDLE_TIME
            return
        claimed = self._claim(self._mailing, self._limit(rate, answered, most_open), now)
        if not self._has_claimed:
            # The turn begins now. If the first claim has had to wait for the database, its
            # messages would else be given back, and so would those of every delivery.
            self._has_claimed, self._turn_began_at = True, monotonic()
        if rate and claimed:
            self._waiting.extend(self._with_slots(claimed))
            self._look_at = 0.0  # The next free slot is another one now.
        else:
            self._waiting.extend(claimed)
        if self.is_probe and not claimed:
            control.return_probe(now)

    def _may_go_on(self, is_idle: bool, now: datetime) -> bool:
        """Tell whether what waits may begin; the probe of an open breaker is taken if it is due.

        Where a rate is set it may also after the turn: its slots, at most about MAX_LOOKAHEAD
        ahead, cannot be given back.
        """
        is_held_back = control.is_held_back(self._control, now)
        if self._is_stopping() or self._control.is_paused or is_held_back:
            return False
        if self._is_turn_over() and not control.effective_rate(self._control):
            return False
        if not self._control.opened_at or self.is_probe:
            return True
        may_probe = is_idle and self.may_claim and not self._waiting and not self._is_turn_over()
        return may_probe and self._take_probe(now)

    def _is_turn_over(self) -> bool:
        return monotonic() - self._turn_began_at >= CLAIM_TIME_BOX

    def _stop(self, now: datetime) -> None:
        """Drain; a probe that was taken and not begun is left to any other delivery."""
        is_probe_unused = self.is_probe and (self.may_claim or len(self._waiting) > 0)
        self.drain()
        if is_probe_unused:
            self.is_probe = False
            control.return_probe(now)

    def _adopt(self, mailing: MailingSnapshot) -> None:
        """Claim for the mailing as it is now; give back what was claimed for an earlier version."""
        if self._mailing and self._mailing.version != mailing.version:
            # A probe that is open already has had its message.
            self.may_claim |= bool(self._waiting) or not self.is_probe
            self._give_back()
        self._mailing = mailing

    def _give_back(self) -> None:
        self.to_release += [waiting.message.id for waiting in self._waiting]
        self._waiting.clear()

    def _take_probe(self, now: datetime) -> bool:
        until = now + timedelta(seconds=2 * settings.MESSAGE_SENDER_TIMEOUT)
        self.is_probe = SendingControl.objects.take_probe(now, until=until)
        return self.is_probe

    def _limit(self, rate: float | None, answered: int, most_open: int) -> int:
        """Return how many messages to claim; `rate` are those a second that are allowed."""
        if self.is_probe:
            return 1
        spent = max(monotonic() - self._turn_began_at, CLAIM_AHEAD_SECONDS)
        pace = answered / spent  # messages a second
        limit = max(1, most_open, int(pace * CLAIM_AHEAD_SECONDS))
        return min(limit, max(1, int(rate * RATE_BATCH_SECONDS))) if rate else limit

    def _claim(self, mailing: MailingSnapshot, limit: int, now: datetime) -> list[ReadyMessage]:
        messages, is_more = bulk.claim(
            mailing,
            limit=limit,
            token=self._lease.token,
            lease_until=self._lease.expires_at,
            recheck_at=now + settings.MAILING_REPEAT_TIMEOUT,
            now=now,
        )
        self.may_claim = is_more and not self.is_probe
        if is_more and not messages:
            self._claim_at = monotonic() + BUSY_LINE_TIME
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
