"""The messages that one delivery has claimed and not handed to the sender yet.

They are claimed ahead of time, as far as sending control, the mailing and its window allow, and
given back as soon as one of these does not allow it any more.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain, zip_longest
from math import ceil
from typing import NamedTuple

from django.conf import settings

from messages_app.engine import bulk, claiming
from messages_app.engine.claiming import Share
from messages_app.engine.records import Claimed
from messages_app.engine.turn import Turn
from messages_app.mailing_snapshot import MailingSnapshot, ReadMailings
from messages_app.models import Message, SendingControl
from messages_app.sending import control
from toolkit.clock import Clock, monotonic
from toolkit.sending_hours import Window, next_closing, next_opening

CLAIM_TIME_BOX = 2.0  # seconds that a delivery begins requests; then others have their turn
# The same while nobody waits. The tick of five seconds does, and is not seen.
LONG_TIME_BOX = 10.0
LOOK_INTERVAL = 0.1  # seconds between two looks at what may stop a delivery
# So many seconds' worth of messages are claimed at once, and at least as many as can be open.
# That covers a round trip, however long it is: no more messages can begin during it than are open.
CLAIM_AHEAD_SECONDS = 0.25
MAX_TURNS = 50  # mailings that a delivery serves at once
LEAST_SHARE = 20  # messages of one mailing that are claimed at once, if so many are due
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
    turn: Turn
    sender_id: int
    text: str  # as JSON
    begin_before: float
    begin_at: float = 0.0


class ClaimQueue:
    """The claimed messages of one delivery that are not handed to the sender yet.

    `turns` are those of its mailings, by their ids. `is_probe` says that the breaker is open and
    lets one message through.
    """

    def __init__(
        self,
        read_mailings: ReadMailings,
        clock: Clock,
        *,
        expires_at: datetime,
        end: float,
        is_stopping: Callable[[], bool],
        is_wanted: Callable[[], bool],
    ) -> None:
        """Claim under leases that expire at `expires_at`.

        It claims until `is_stopping` says that this process is to end, or, after CLAIM_TIME_BOX,
        `is_wanted` that there is other work for it. No request begins after `end`, in seconds of
        `monotonic`.
        """
        self._read_mailings = read_mailings
        self._is_stopping = is_stopping
        self._is_wanted = is_wanted
        self.turns: dict[int, Turn] = {}
        self.is_probe = False
        self._is_probe_claimed = False
        self._clock = clock
        self._expires_at = expires_at
        self._end = end
        self._turn_began_at = monotonic()
        self._is_turn_over = False
        self._may_add = True
        self._has_claimed = False
        self._look_at = 0.0
        self._claim_at = 0.0
        self._control = SendingControl()  # as it was at the last look
        self._claimable: deque[Turn] = deque()  # those of which more may be due; the next one first
        self._waiting: deque[ReadyMessage] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def may_claim(self) -> bool:
        """Whether it may claim more messages."""
        return bool(self._claimable) and not self._is_probe_claimed

    @property
    def places(self) -> int:
        """How many mailings more it can serve; none if nothing may be claimed."""
        is_open = self._may_add and monotonic() < self._end and not self._is_stopping()
        return MAX_TURNS - len(self.turns) if is_open else 0

    def add(self, turns: Iterable[Turn]) -> None:
        """Claim messages of these mailings, too."""
        for turn in turns:
            self.turns[turn.mailing.id] = turn
            self._claimable.append(turn)

    def remove_ended(self) -> list[Turn]:
        """Remove and return the turns of which nothing is held and nothing more is due."""
        ended = [
            turn for turn in self.turns.values() if not turn.held and turn not in self._claimable
        ]
        for turn in ended:
            del self.turns[turn.mailing.id]
        return ended

    def pop_ready(self, number: int) -> list[ReadyMessage]:
        """Remove and return at most `number` messages whose requests are to begin now.

        Those that it is too late for are to be released.
        """
        now = monotonic()
        ready: list[ReadyMessage] = []
        while self._waiting and len(ready) < number and self._waiting[0].begin_at <= now:
            waiting = self._waiting.popleft()
            if now < waiting.begin_before:
                ready.append(waiting)
            else:
                waiting.turn.to_release.append(waiting.message.id)
        return ready

    def idle_time(self) -> float:
        """Return the seconds until a message or the next claim is due, at most MAX_IDLE_TIME."""
        due_at = self._waiting[0].begin_at if self._waiting else self._claim_at
        return min(MAX_IDLE_TIME, max(0.001, due_at - monotonic()))

    def drain(self) -> None:
        """Claim no more, and have all waiting messages released."""
        self._claimable.clear()
        self._give_back(self._waiting)
        self._waiting.clear()

    def expire(self) -> None:
        """Begin nothing more at all: leases of this delivery were reclaimed."""
        self._end = 0.0
        self.drain()

    def resume(self) -> None:
        """Claim again after a successful probe, unless others are to have their turn."""
        self.is_probe = self._is_probe_claimed = False
        if self._has_had_its_turn():
            self._claimable.clear()

    def look(self, *, is_idle: bool) -> bool:
        """Look, every LOOK_INTERVAL, whether messages may still be claimed and begun.

        Whatever waits is to be released when they may not, and also when its mailing was edited:
        it is then claimed anew, for the new text, filters and times. `is_idle` says that no
        request is open: only then may a message be the breaker's probe.

        Returns:
            Whether it looked.
        """
        if monotonic() < self._look_at:
            return False
        now, number = self._clock.now(), len(self._waiting)
        self._control = SendingControl.objects.read()
        known = {pk: turn.mailing for pk, turn in self.turns.items()}
        mailings = self._read_mailings(self.turns, now, known=known)
        self._is_turn_over = self._has_had_its_turn()
        if self._may_go_on(is_idle, now):
            for turn in self.turns.values():
                self._adopt(turn, mailings.get(turn.mailing.id))
            if self._is_turn_over:
                self._claimable.clear()
            self._may_add = not self._is_turn_over and not self._control.opened_at
        else:
            self.drain()
            self._may_add = False
        if self.is_probe:
            self._keep_probe(now, is_given_back=len(self._waiting) < number)
        self._look_at = monotonic() + LOOK_INTERVAL
        return True

    def claim(self, *, answered: int, most_open: int) -> None:
        """Claim the messages that are needed until the next claim, if the last look allowed it.

        `answered` is the number of answers of this delivery so far, which tells its speed;
        `most_open` is how many requests may be open now.
        """
        if not self.may_claim or monotonic() < self._claim_at:
            return
        now, rate = self._clock.now(), control.effective_rate(self._control)
        if control.has_no_slots(self._control, now):
            self._claim_at = monotonic() + MAX_IDLE_TIME
            return
        limit = self._limit(rate, answered, most_open)
        if not (turns := self._next_turns(limit)):
            return
        claimed = self._claim(turns, ceil(limit / len(turns)), now)
        if not self._has_claimed:
            # The turn begins now. If the first claim has had to wait for the database, its
            # messages would else be given back, and so would those of every delivery.
            self._has_claimed, self._turn_began_at = True, monotonic()
        if rate and claimed:
            self._waiting.extend(self._with_slots(claimed))
            self._look_at = 0.0  # The next free slot is another one now.
        else:
            self._waiting.extend(claimed)
        if self.is_probe:
            self._is_probe_claimed = True
            if not claimed:
                control.return_probe(now)

    def _may_go_on(self, is_idle: bool, now: datetime) -> bool:
        """Tell whether what waits may begin; the probe of an open breaker is taken if it is due.

        Where a rate is set it may also after the turn: its slots, at most about MAX_LOOKAHEAD
        ahead, cannot be given back.
        """
        is_held_back = control.is_held_back(self._control, now)
        if self._is_stopping() or self._control.is_paused or is_held_back:
            return False
        if self._is_turn_over and not control.effective_rate(self._control):
            return False
        if not self._control.opened_at or self.is_probe:
            return True
        may_probe = is_idle and self.may_claim and not self._waiting and not self._is_turn_over
        return may_probe and self._take_probe(now)

    def _has_had_its_turn(self) -> bool:
        seconds = monotonic() - self._turn_began_at
        return seconds >= CLAIM_TIME_BOX and (seconds >= LONG_TIME_BOX or self._is_wanted())

    def _adopt(self, turn: Turn, mailing: MailingSnapshot | None) -> None:
        """Claim for the mailing as it is now; give back what was claimed for an earlier version.

        None means that it does not run any more.
        """
        if mailing and mailing.version == turn.mailing.version:
            turn.mailing = mailing
            return
        self._give_back(each for each in self._waiting if each.turn is turn)
        self._waiting = deque(each for each in self._waiting if each.turn is not turn)
        if not mailing:
            self._stop_claiming(turn)
            return
        turn.mailing = mailing
        turn.shut.clear()
        if turn not in self._claimable:
            self._claimable.append(turn)

    def _keep_probe(self, now: datetime, *, is_given_back: bool) -> None:
        """Claim another message for a probe that has lost its own, or leave it to others."""
        if self._is_probe_claimed and not is_given_back:
            return
        self._is_probe_claimed = False
        if not self._claimable:
            self.is_probe = False
            control.return_probe(now)

    @staticmethod
    def _give_back(messages: Iterable[ReadyMessage]) -> None:
        for waiting in messages:
            waiting.turn.to_release.append(waiting.message.id)

    def _stop_claiming(self, turn: Turn) -> None:
        if turn in self._claimable:
            self._claimable.remove(turn)

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

    def _next_turns(self, limit: int) -> list[Turn]:
        """Return the turns to claim for: as many as get LEAST_SHARE each, one after the other."""
        now = monotonic()
        free = [turn for turn in self._claimable if turn.claim_at <= now]
        if not free:
            self._claim_at = min(turn.claim_at for turn in self._claimable)
        chosen = free[: max(1, limit // LEAST_SHARE)]
        for turn in chosen:
            self._claimable.remove(turn)
            self._claimable.append(turn)
        return chosen

    def _claim(self, turns: Sequence[Turn], share: int, now: datetime) -> list[ReadyMessage]:
        """Claim a share of each of these turns; return the messages, those of all in turns."""
        found = claiming.claim(
            [Share(turn.mailing, turn.lease.token, share, turn.shut_zones(now)) for turn in turns],
            lease_until=self._expires_at,
            recheck_at=now + settings.MAILING_REPEAT_TIMEOUT,
            now=now,
        )
        claimed: list[list[ReadyMessage]] = []
        for turn, (messages, is_more) in zip(turns, found, strict=True):
            if not is_more:
                self._claimable.remove(turn)
            elif not messages:
                turn.claim_at = monotonic() + BUSY_LINE_TIME
            claimed.append(self._ready(turn, messages))
            turn.held += len(claimed[-1])
        if len(claimed) == 1:
            return claimed[0]
        return [each for each in chain(*zip_longest(*claimed)) if each]

    def _ready(self, turn: Turn, messages: Sequence[Claimed]) -> list[ReadyMessage]:
        mailing = turn.mailing
        texts = {mailing.text_version: mailing.text}
        for version in {message.text_version for message in messages} - texts.keys():
            texts[version] = mailing.text_of(version)
        as_json = {version: json.dumps(text) for version, text in texts.items()}
        end = min(self._end, self._monotonic_at(mailing.stop_time))
        ready = [
            ReadyMessage(
                message,
                turn,
                mailing.sender_id(message.id, message.phone_number),
                as_json[message.text_version],
                end,
            )
            for message in messages
        ]
        return self._inside(turn, mailing.window, ready) if mailing.window else ready

    def _inside(
        self, turn: Turn, window: Window, claimed: list[ReadyMessage]
    ) -> list[ReadyMessage]:
        """Release messages whose client's window is shut, due when it opens; return the others.

        Those are to begin before their window shuts.
        """
        now, inside = self._clock.now(), []
        by_id = {waiting.message.id: waiting for waiting in claimed}
        for zone, ids in Message.objects.filter(pk__in=by_id).by_zone().items():
            opens_at = next_opening(window, zone, now)
            if opens_at > now:
                turn.shut[zone] = opens_at  # The others of this zone are not even claimed.
                bulk.release(ids, tokens=[turn.lease.token], due_at=opens_at)
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
