"""Where a delivery's messages come from: when they are claimed, and when they may begin."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from django.utils import timezone
from time_machine import Traveller

from mailings.preparing import read_running
from messages_app.engine import bulk, claiming
from messages_app.engine.claim_queue import (
    CLAIM_TIME_BOX,
    LOOK_INTERVAL,
    MAX_SLOT_DELAY,
    RATE_BATCH_SECONDS,
    ClaimQueue,
)
from messages_app.engine.records import Bell
from messages_app.engine.turn import Turn
from messages_app.models import Lease, Message, SendingControl
from messages_app.sending import control
from messages_app.tests.scenes import deliver
from messages_app.tests.scripted import Scripted, ScriptedTransport
from toolkit.clock import Clock

if TYPE_CHECKING:
    from mailings.models import Mailing

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_clock")]

Add = Callable[..., list[Message]]
MakeMailing = Callable[..., "Mailing"]

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    return NOON


@pytest.fixture
def world(now: datetime) -> Iterator[Traveller]:
    """Stop the time at noon, UTC."""
    with time_machine.travel(now, tick=False) as traveller:
        yield traveller


@pytest.fixture(autouse=True)
def _at_noon(world: Traveller) -> None:
    """Have every test begin at noon."""


def begin(
    mailing: "Mailing",
    *,
    lasts: float = 60,
    is_stopping: Callable[[], bool] | None = None,
    is_wanted: bool = True,
    token: int = -7,
) -> ClaimQueue:
    """Return the queue of a delivery whose requests may begin for so many seconds."""
    now = timezone.now()
    queue = ClaimQueue(
        read_running,
        Clock(),
        expires_at=now + MINUTE,
        end=now.timestamp() + lasts,
        is_stopping=is_stopping or (lambda: False),
        is_wanted=lambda: is_wanted,
    )
    lease = Lease.objects.create(token=token, mailing=mailing, expires_at=now + MINUTE)
    turn = Turn(Bell(mailing.pk, 0), lease, mailing.snapshot(now))
    queue.add([turn])
    turn.spool.remove()  # Nothing is handed over here.
    return queue


def to_release(queue: ClaimQueue) -> list[int]:
    return [pk for turn in queue.turns.values() for pk in turn.to_release]


def claim(queue: ClaimQueue, *, answered: int = 0, is_idle: bool = True) -> int:
    """Look and claim; return how many are waiting."""
    queue.look(is_idle=is_idle)
    queue.claim(answered=answered, most_open=10)
    return len(queue)


def taken(queue: ClaimQueue, number: int = 1000) -> list[int]:
    return [waiting.message.id for waiting in queue.pop_ready(number)]


class TestClaiming:
    def test_at_first_as_many_are_claimed_as_can_be_open(
        self, mailing: "Mailing", add: Add
    ) -> None:
        add(25)
        queue = begin(mailing)
        assert claim(queue) == 10
        assert queue.may_claim

    def test_later_as_many_are_claimed_as_are_sent_in_a_quarter_of_a_second(
        self, mailing: "Mailing", add: Add, world: Traveller
    ) -> None:
        add(125)
        queue = begin(mailing)
        claim(queue)
        world.shift(SECOND)
        assert claim(queue, answered=200) == 10 + 50
        assert claim(queue, answered=20) == 60 + 10

    def test_at_the_very_beginning_no_more_are_claimed_than_were_answered(
        self, mailing: "Mailing", add: Add, world: Traveller
    ) -> None:
        add(95)
        queue = begin(mailing)
        claim(queue)
        world.shift(0.001)
        assert claim(queue, answered=20) == 10 + 20

    def test_it_ends_when_nothing_more_is_due(self, mailing: "Mailing", add: Add) -> None:
        add(3)
        queue = begin(mailing)
        assert claim(queue) == 3
        assert not queue.may_claim

    @pytest.mark.parametrize("status", ["paused", "cancelled", "finished"])
    def test_it_ends_when_the_mailing_does_not_run_any_more(
        self, mailing: "Mailing", add: Add, status: str
    ) -> None:
        add(3)
        type(mailing).objects.update(status=status)
        queue = begin(mailing)
        assert claim(queue) == 0
        assert not queue.may_claim

    def test_it_ends_when_the_lease_was_taken_back(self, mailing: "Mailing", add: Add) -> None:
        add(30)
        queue = begin(mailing)
        Lease.objects.all().delete()
        assert claim(queue) == 0
        assert not queue.may_claim
        assert Message.objects.filter(attempts=0).count() == 30


class TestLooking:
    """What the operator says, and how long it takes until it is heard."""

    @pytest.fixture
    def queue(self, mailing: "Mailing", add: Add) -> ClaimQueue:
        """Return a queue of ten, of which two are handed over; ten more are due."""
        add(20)
        self.is_stopping = False
        queue = begin(mailing, is_stopping=lambda: self.is_stopping)
        assert claim(queue) == 10
        assert len(taken(queue, 2)) == 2
        return queue

    def look(self, queue: ClaimQueue) -> tuple[bool, bool, int, int]:
        """Look; say if it gave back, may claim, and how many wait and are to be released."""
        before = len(queue)
        queue.look(is_idle=False)
        return len(queue) < before, queue.may_claim, len(queue), len(to_release(queue))

    @pytest.mark.parametrize(
        "word",
        [
            {"status": "paused"},
            {"status": "cancelled"},
            {"status": "finished"},
            {"stop_time": NOON},
            {"start_time": NOON + MINUTE},
        ],
    )
    def test_what_waits_is_given_back_when_the_mailing_does_not_run(
        self, mailing: "Mailing", queue: ClaimQueue, world: Traveller, word: dict[str, Any]
    ) -> None:
        type(mailing).objects.update(**word)
        world.shift(LOOK_INTERVAL)
        assert self.look(queue) == (True, False, 0, 8)

    def test_what_waits_is_given_back_when_the_mailing_is_deleted(
        self, mailing: "Mailing", queue: ClaimQueue, world: Traveller
    ) -> None:
        mailing.delete()
        world.shift(LOOK_INTERVAL)
        assert self.look(queue) == (True, False, 0, 8)

    @pytest.mark.parametrize("word", [{"is_paused": True}, {"opened_at": NOON, "probe_at": NOON}])
    def test_what_waits_is_given_back_when_sending_is_held(
        self, queue: ClaimQueue, world: Traveller, word: dict[str, Any]
    ) -> None:
        SendingControl.objects.update(**word)
        world.shift(LOOK_INTERVAL)
        assert self.look(queue) == (True, False, 0, 8)

    def test_what_waits_is_given_back_when_this_process_is_to_end(
        self, queue: ClaimQueue, world: Traveller
    ) -> None:
        self.is_stopping = True
        world.shift(LOOK_INTERVAL)
        assert self.look(queue) == (True, False, 0, 8)

    def test_what_waits_is_given_back_when_other_mailings_have_their_turn(
        self, queue: ClaimQueue, world: Traveller
    ) -> None:
        world.shift(CLAIM_TIME_BOX - 0.01)
        assert self.look(queue) == (False, True, 8, 0)
        world.shift(LOOK_INTERVAL)
        assert self.look(queue) == (True, False, 0, 8)

    def test_what_waits_is_claimed_anew_when_the_mailing_was_edited(
        self, mailing: "Mailing", queue: ClaimQueue, world: Traveller
    ) -> None:
        type(mailing).objects.update(text="Bye", stop_time=NOON + MINUTE, updated_at=NOON + SECOND)
        world.shift(LOOK_INTERVAL)
        assert self.look(queue) == (True, True, 0, 8)
        bulk.release(to_release(queue), tokens=[-7])
        queue.claim(answered=0, most_open=10)
        ready = queue.pop_ready(100)
        assert {each.text for each in ready} == {'"Bye"'}
        assert {each.begin_before for each in ready} == {(NOON + MINUTE).timestamp()}

    def test_an_edit_is_heeded_also_when_nothing_more_was_due(
        self, mailing: "Mailing", queue: ClaimQueue, world: Traveller
    ) -> None:
        claim(queue)
        assert claim(queue) == 18
        assert not queue.may_claim
        type(mailing).objects.update(text="Bye", updated_at=NOON + SECOND)
        world.shift(LOOK_INTERVAL)
        assert self.look(queue) == (True, True, 0, 18)

    def test_it_looks_ten_times_a_second(
        self, queue: ClaimQueue, world: Traveller, django_assert_num_queries: Any
    ) -> None:
        with django_assert_num_queries(0):
            world.shift(0.05)
            assert self.look(queue) == (False, True, 8, 0)
        with django_assert_num_queries(2):
            world.shift(0.05)
            assert self.look(queue) == (False, True, 8, 0)

    def test_a_first_claim_that_takes_long_does_not_use_up_the_turn(
        self, mailing: "Mailing", add: Add, world: Traveller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def slowly(*args: Any, **kwargs: Any) -> Any:
            world.shift(CLAIM_TIME_BOX + 1)
            return quickly(*args, **kwargs)

        quickly = claiming.claim
        monkeypatch.setattr(claiming, "claim", slowly)
        add(20)
        queue = begin(mailing)
        assert claim(queue) == 10
        assert self.look(queue) == (False, True, 10, 0)

    def test_slots_are_used_although_others_have_their_turn(
        self, mailing: "Mailing", add: Add, world: Traveller
    ) -> None:
        add(20)
        control.change(rate=20.0)
        queue = begin(mailing)
        assert claim(queue) == 5
        world.shift(CLAIM_TIME_BOX)
        assert self.look(queue) == (False, False, 5, 0)
        type(mailing).objects.update(text="Bye", updated_at=NOON + SECOND)
        world.shift(LOOK_INTERVAL)
        assert self.look(queue) == (True, False, 0, 5)

    def test_a_probe_that_was_not_begun_is_left_to_others(
        self, mailing: "Mailing", add: Add, now: datetime, world: Traveller
    ) -> None:
        add(20)
        SendingControl.objects.update(opened_at=now - MINUTE, probe_at=now)
        self.is_stopping = False
        queue = begin(mailing, is_stopping=lambda: self.is_stopping)
        assert claim(queue) == 1
        self.is_stopping = True
        world.shift(LOOK_INTERVAL)
        assert self.look(queue) == (True, False, 0, 1)
        probe_at = SendingControl.objects.current().probe_at
        assert probe_at
        assert probe_at <= timezone.now()

    def test_a_probe_that_is_open_stays_the_only_one_when_the_mailing_is_edited(
        self, mailing: "Mailing", add: Add, now: datetime, world: Traveller
    ) -> None:
        add(20)
        SendingControl.objects.update(opened_at=now - MINUTE, probe_at=now)
        queue = begin(mailing)
        claim(queue)
        assert len(taken(queue)) == 1
        type(mailing).objects.update(text="Bye", updated_at=NOON + SECOND)
        world.shift(LOOK_INTERVAL)
        assert self.look(queue) == (False, False, 0, 0)
        assert queue.is_probe


class TestTaking:
    def test_no_more_are_taken_than_wanted_and_each_once(
        self, mailing: "Mailing", add: Add
    ) -> None:
        messages = add(5)
        queue = begin(mailing)
        claim(queue)
        ids = [*taken(queue, 2), *taken(queue, 0), *taken(queue, 9)]
        assert sorted(ids) == [message.pk for message in messages]
        assert len(queue) == 0

    def test_what_its_lease_would_not_cover_is_given_back(
        self, mailing: "Mailing", add: Add, world: Traveller
    ) -> None:
        messages = add(3)
        queue = begin(mailing, lasts=1)
        claim(queue)
        world.shift(SECOND)
        assert taken(queue) == []
        assert sorted(to_release(queue)) == [message.pk for message in messages]

    def test_nothing_begins_at_the_stop_time(
        self, make_mailing: MakeMailing, add: Add, world: Traveller, now: datetime
    ) -> None:
        mailing = make_mailing(stop_time=now + SECOND)
        add(2, mailing=mailing)
        queue = begin(mailing)
        claim(queue)
        world.shift(0.999)
        assert len(taken(queue, 1)) == 1
        world.shift(0.001)
        assert taken(queue, 1) == []
        assert len(to_release(queue)) == 1

    def test_what_waits_when_it_stops_is_given_back(self, mailing: "Mailing", add: Add) -> None:
        add(15)
        queue = begin(mailing)
        claim(queue)
        begun = taken(queue, 4)
        queue.drain()
        assert (len(queue), queue.may_claim, len(begun), len(to_release(queue))) == (0, False, 4, 6)
        leased = Message.objects.leased().values_list("pk", flat=True)
        assert {*begun, *to_release(queue)} == set(leased)


class TestSendingControl:
    def test_a_pause_has_everything_given_back(
        self, mailing: "Mailing", add: Add, world: Traveller
    ) -> None:
        add(15)
        queue = begin(mailing)
        claim(queue)
        control.change(is_paused=True)
        world.shift(LOOK_INTERVAL)
        assert claim(queue) == 0
        assert (len(to_release(queue)), queue.may_claim) == (10, False)

    @pytest.mark.parametrize("is_idle", [True, False])
    def test_an_open_breaker_lets_one_message_through_when_nothing_is_in_flight(
        self, mailing: "Mailing", add: Add, now: datetime, is_idle: bool
    ) -> None:
        add(15)
        SendingControl.objects.update(opened_at=now - MINUTE, probe_at=now)
        queue = begin(mailing)
        assert claim(queue, is_idle=is_idle) == (1 if is_idle else 0)
        assert (queue.is_probe, queue.may_claim) == (is_idle, False)

    def test_only_one_of_two_deliveries_tries_the_sender(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        add(15)
        SendingControl.objects.update(opened_at=now - MINUTE, probe_at=now)
        first, second = begin(mailing), begin(mailing, token=-8)
        assert (claim(first), claim(second)) == (1, 0)

    def test_after_a_good_probe_it_goes_on(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        add(15)
        SendingControl.objects.update(opened_at=now - MINUTE, probe_at=now)
        queue = begin(mailing)
        claim(queue)
        taken(queue)
        SendingControl.objects.update(opened_at=None, probe_at=None)
        queue.resume()
        assert (queue.is_probe, queue.may_claim, claim(queue)) == (False, True, 10)

    def test_after_a_good_probe_it_ends_if_its_time_is_over(
        self, mailing: "Mailing", add: Add, now: datetime, world: Traveller
    ) -> None:
        add(15)
        SendingControl.objects.update(opened_at=now - MINUTE, probe_at=now)
        queue = begin(mailing)
        claim(queue)
        world.shift(CLAIM_TIME_BOX)
        queue.resume()
        assert not queue.may_claim


class TestRate:
    def test_messages_begin_at_the_moments_booked_for_them(
        self, mailing: "Mailing", add: Add, world: Traveller
    ) -> None:
        add(15)
        control.change(rate=20.0)
        queue = begin(mailing)
        assert claim(queue) == 20 * RATE_BATCH_SECONDS
        pace = []
        for _ in range(21):
            pace.append(len(taken(queue)))
            world.shift(0.01)
        assert pace == [1, 0, 0, 0, 0] * 4 + [1]

    def test_one_that_misses_its_moment_is_given_back(
        self, mailing: "Mailing", add: Add, world: Traveller
    ) -> None:
        add(15)
        control.change(rate=20.0)
        queue = begin(mailing)
        claim(queue)
        world.shift(0.05 + MAX_SLOT_DELAY + 0.001)
        assert taken(queue) == []
        assert len(to_release(queue)) == 2
        world.shift(0.01)
        assert len(taken(queue)) == 1

    def test_at_a_low_rate_it_is_one_at_a_time(self, mailing: "Mailing", add: Add) -> None:
        add(15)
        control.change(rate=0.5)
        queue = begin(mailing)
        assert claim(queue) == 1

    def test_nothing_is_claimed_while_the_next_moments_are_given_away(
        self, mailing: "Mailing", add: Add, world: Traveller, now: datetime
    ) -> None:
        add(15)
        control.change(rate=1.0)
        control.reserve_slots(2, now=now)
        queue = begin(mailing)
        assert claim(queue) == 0
        assert queue.may_claim
        world.shift(SECOND)
        assert claim(queue) == 1
        assert taken(queue) == []
        world.shift(SECOND)
        assert len(taken(queue)) == 1

    def test_no_more_is_claimed_than_the_next_second_has_moments_for(
        self, mailing: "Mailing", add: Add
    ) -> None:
        add(15)
        control.change(rate=4.0)
        queue = begin(mailing)
        for _ in range(15):
            claim(queue)
        assert len(queue) == 4 + 1

    def test_idle_time_ends_when_there_is_something_to_do(
        self, mailing: "Mailing", add: Add
    ) -> None:
        add(15)
        control.change(rate=50.0)
        queue = begin(mailing)
        claim(queue)
        taken(queue, 1)
        assert queue.idle_time() == pytest.approx(1 / 50)
        taken(queue)


class TestWindow:
    @pytest.fixture
    def mailing(self, make_mailing: MakeMailing, now: datetime) -> "Mailing":
        """Return a mailing for the hours from 9 to 18, for another day."""
        return make_mailing(window_start=time(9), window_end=time(18), stop_time=now + 24 * HOUR)

    def test_clients_whose_window_is_shut_are_put_off_to_its_opening(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (moscow,) = add(1, timezone="Europe/Moscow")  # 15:00
        (tokyo,) = add(1, timezone="Asia/Tokyo")  # 21:00
        (chicago,) = add(1, timezone="America/Chicago")  # 6:00
        queue = begin(mailing)
        claim(queue)
        assert taken(queue) == [moscow.pk]
        for message, due_at in ((tokyo, now + 12 * HOUR), (chicago, now + 3 * HOUR)):
            message.refresh_from_db()
            assert (message.next_attempt_at, message.attempts) == (due_at, 0)
            assert (message.status, message.lease_token, message.lease_until) == (
                "pending",
                None,
                None,
            )

    def test_where_it_was_found_shut_once_the_others_are_put_off_with_one_write(
        self,
        mailing: "Mailing",
        add: Add,
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        add(12, timezone="Asia/Tokyo")
        add(1, timezone="Europe/Moscow")
        queue = begin(mailing)
        assert claim(queue) == 0
        monkeypatch.setattr(bulk, "release", None)  # It is not needed any more.
        assert claim(queue) == 1
        put_off = Message.objects.filter(client__timezone="Asia/Tokyo", lease_until=None)
        assert set(put_off.values_list("next_attempt_at", "queued_at", "attempts")) == {
            (now + 12 * HOUR, now + 12 * HOUR, 0)
        }

    def test_an_edit_of_the_window_is_heeded(
        self, mailing: "Mailing", add: Add, world: Traveller
    ) -> None:
        add(12, timezone="Asia/Tokyo")  # 21:00
        queue = begin(mailing)
        assert claim(queue) == 0
        type(mailing).objects.update(window_end=time(22), updated_at=NOON + SECOND)
        world.shift(LOOK_INTERVAL)
        assert claim(queue) == 2

    def test_one_put_off_for_a_retry_keeps_its_reason(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(
            1, timezone="Asia/Tokyo", status="fail", error_code="throttled", attempts=2
        )
        claim(begin(mailing))
        message.refresh_from_db()
        assert (message.status, message.error_code, message.attempts) == ("fail", "throttled", 2)
        assert message.next_attempt_at == now + 12 * HOUR

    def test_nothing_begins_once_the_clients_window_shuts(
        self, mailing: "Mailing", add: Add, world: Traveller
    ) -> None:
        (helsinki,) = add(1, timezone="Europe/Helsinki")  # 14:00
        (dubai,) = add(1, timezone="Asia/Dubai")  # 16:00
        world.shift(2 * HOUR - SECOND)
        queue = begin(mailing)
        assert claim(queue) == 2
        world.shift(SECOND)
        assert taken(queue) == [helsinki.pk]
        assert to_release(queue) == [dubai.pk]

    def test_they_are_sent_when_it_opens(
        self, mailing: "Mailing", add: Add, scripted: Scripted, world: Traveller
    ) -> None:
        (message,) = add(1, timezone="America/Chicago")
        transport = scripted(1, ScriptedTransport.answer)
        for _ in range(3):
            assert deliver(mailing.pk) == 0
            world.shift(HOUR)
        assert deliver(mailing.pk) == 1
        assert [request.id for request in transport.sent] == [message.pk]
        message.refresh_from_db()
        assert (message.status, message.attempts) == ("success", 1)

    def test_a_deleted_clients_message_is_nobodys_error(self, mailing: "Mailing", add: Add) -> None:
        (message,) = add(1)
        assert message.client
        message.client.delete()
        assert claim(begin(mailing)) == 0
