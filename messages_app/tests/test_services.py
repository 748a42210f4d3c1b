"""What is done with single messages, and what is given up when a mailing is over."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings

from clients.models import Client
from clients.services import delete_client
from mailings.preparing import read_running, requeue_chunk
from mailings.services import edit_mailing
from messages_app import requeueing, services
from messages_app.engine import bulk, planning
from messages_app.engine.records import Outcome
from messages_app.models import Attempt, ErrorCode, Message, Withdrawal
from messages_app.tests.scenes import claim, somebody_waits
from toolkit.sending_hours import Window

if TYPE_CHECKING:
    from mailings.models import Mailing

pytestmark = pytest.mark.django_db

MakeClients = Callable[..., list[Client]]
MakeMailing = Callable[..., "Mailing"]

MINUTE = timedelta(minutes=1)


@pytest.fixture
def person(make_clients: MakeClients) -> Client:
    return make_clients(1)[0]


@pytest.fixture
def message(mailing: "Mailing", person: Client, now: datetime) -> Message:
    return Message.objects.create(mailing=mailing, client=person, next_attempt_at=now)


def change(message: Message, **fields: Any) -> None:
    """Change a message behind the back of whoever has read it."""
    Message.objects.filter(pk=message.pk).update(**fields)


def plan(mailing: "Mailing", now: datetime) -> int:
    """Plan for everybody."""
    return planning.plan(
        mailing_id=mailing.pk, audience=Client.objects.all(), window=mailing.window, now=now
    )


def refused(deed: Callable[[], object]) -> str:
    """Return the code with which a deed is refused."""
    with pytest.raises(ValidationError) as refusal:
        deed()
    return str(refusal.value.code)


def end(mailing: "Mailing", how: str) -> None:
    if how == "expired":
        type(mailing).objects.update(stop_time=mailing.start_time + MINUTE)
    else:
        type(mailing).objects.update(status=how)


OVER = ("expired", "finished", "cancelled")


class TestRunningMailing:
    def test_it_is_read_anew_while_it_runs(self, mailing: "Mailing", now: datetime) -> None:
        type(mailing).objects.update(text="Good morning")
        assert read_running([mailing.pk], now)[mailing.pk].text == "Good morning"

    @pytest.mark.parametrize("status", ["scheduled", "paused", "finished", "cancelled"])
    def test_one_that_does_not_run_is_left_out(
        self, mailing: "Mailing", now: datetime, status: str
    ) -> None:
        type(mailing).objects.update(status=status)
        assert read_running([mailing.pk], now) == {}

    def test_one_that_is_known_is_not_read_again_until_it_is_edited(
        self, mailing: "Mailing", make_mailing: MakeMailing, now: datetime
    ) -> None:
        other = make_mailing()
        known = read_running([mailing.pk], now)
        found = read_running([mailing.pk, other.pk], now, known=known)
        assert found[mailing.pk] is known[mailing.pk]
        assert found[other.pk].id == other.pk
        mailing.text = "Good morning"
        mailing.save()
        assert read_running([mailing.pk], now, known=known)[mailing.pk].text == "Good morning"
        type(mailing).objects.update(status="paused")
        assert read_running([mailing.pk], now, known=known) == {}

    def test_outside_its_time_it_is_left_out(self, mailing: "Mailing") -> None:
        early = mailing.start_time - timedelta(microseconds=1)
        assert read_running([mailing.pk], early) == {}
        assert read_running([mailing.pk], mailing.stop_time) == {}


class TestAdding:
    def test_a_client_added_by_hand_is_due_at_once(
        self, mailing: "Mailing", person: Client, now: datetime
    ) -> None:
        message = services.add_message(mailing=mailing, client=person, now=now)
        message.refresh_from_db()
        assert (message.mailing, message.client) == (mailing, person)
        assert (message.status, message.attempts, message.is_manual) == ("pending", 0, True)
        assert (message.next_attempt_at, message.phone_number) == (now, person.phone_number)

    def test_before_the_start_it_is_due_whenever_the_mailing_starts(
        self, make_mailing: MakeMailing, person: Client, now: datetime
    ) -> None:
        mailing = make_mailing(status="scheduled", start_time=now + MINUTE)
        message = services.add_message(mailing=mailing, client=person, now=now)
        assert claim(mailing, now) == []
        type(mailing).objects.update(status="running", start_time=now)
        assert [each.id for each in claim(mailing, now)] == [message.pk]

    def test_it_undoes_a_withdrawal(
        self, mailing: "Mailing", message: Message, person: Client, now: datetime
    ) -> None:
        services.withdraw_message(message, now=now)
        services.add_message(mailing=mailing, client=person, now=now)
        assert not Withdrawal.objects.exists()

    @pytest.mark.parametrize("how", OVER)
    def test_nobody_is_added_to_a_mailing_that_is_over(
        self, mailing: "Mailing", person: Client, now: datetime, how: str
    ) -> None:
        end(mailing, how)
        add = partial(services.add_message, mailing=mailing, client=person, now=now)
        assert refused(add) == "mailing_over"
        assert not Message.objects.exists()

    def test_a_client_deleted_meanwhile_is_not_added(
        self, mailing: "Mailing", person: Client, now: datetime
    ) -> None:
        delete_client(Client.objects.get())
        add = partial(services.add_message, mailing=mailing, client=person, now=now)
        assert refused(add) == "client_deleted"
        assert not Message.objects.exists()

    def test_planning_leaves_what_was_added_by_hand(
        self, mailing: "Mailing", person: Client, now: datetime
    ) -> None:
        services.add_message(mailing=mailing, client=person, now=now)
        assert plan(mailing, now) == 0
        assert Message.objects.get().is_manual


class TestMoving:
    def test_it_goes_to_another_client(
        self, mailing: "Mailing", message: Message, make_clients: MakeClients, now: datetime
    ) -> None:
        before = message.client
        (other,) = make_clients(1)
        services.move_message(message, mailing=mailing, client=other, now=now)
        moved = Message.objects.get()
        assert (moved.pk, moved.client, moved.is_manual) == (message.pk, other, True)
        assert moved.phone_number == other.phone_number
        assert Withdrawal.objects.get().client == before

    def test_it_goes_to_another_mailing(
        self, make_mailing: MakeMailing, message: Message, person: Client, now: datetime
    ) -> None:
        other = make_mailing()
        services.move_message(message, mailing=other, client=person, now=now)
        assert Message.objects.get().mailing == other
        assert Withdrawal.objects.get().mailing != other

    def test_one_that_was_tried_stays(
        self, mailing: "Mailing", message: Message, make_clients: MakeClients, now: datetime
    ) -> None:
        change(message, attempts=1)
        (other,) = make_clients(1)
        move = partial(services.move_message, message, mailing=mailing, client=other, now=now)
        assert refused(move) == "message_already_tried"
        assert Message.objects.get().client != other

    @pytest.mark.postgres  # SQLite has one writer at a time
    @pytest.mark.django_db(transaction=True)
    def test_two_that_move_in_opposite_directions_cannot_come_crosswise(
        self, make_mailing: MakeMailing, make_clients: MakeClients, person: Client, now: datetime
    ) -> None:
        """Both wait for the older mailing before they have locked the other one."""
        older, newer = make_mailing(), make_mailing()
        message = services.add_message(mailing=newer, client=person, now=now)
        moved: list[Message] = []

        def move() -> None:
            moved.append(services.move_message(message, mailing=older, client=person, now=now))
            connection.close()

        moving = Thread(target=move)
        with transaction.atomic():
            older.lock()
            moving.start()
            while not somebody_waits():
                assert moving.is_alive()
            mailings = type(newer).objects.select_for_update(nowait=True, no_key=True)
            assert mailings.get(pk=newer.pk) == newer
        moving.join()
        assert [each.mailing for each in moved] == [older]

    @pytest.mark.parametrize("how", OVER)
    def test_nothing_moves_to_a_mailing_that_is_over(
        self,
        make_mailing: MakeMailing,
        message: Message,
        person: Client,
        now: datetime,
        how: str,
    ) -> None:
        other = make_mailing(status="finished" if how == "expired" else how)
        move = partial(services.move_message, message, mailing=other, client=person, now=now)
        with transaction.atomic():
            assert refused(move) == "mailing_over"
        assert Message.objects.get().mailing != other
        assert not Withdrawal.objects.exists()


class TestWithdrawing:
    def test_it_is_gone_and_remembered(
        self, mailing: "Mailing", message: Message, person: Client, now: datetime
    ) -> None:
        services.withdraw_message(message, now=now)
        assert not Message.objects.exists()
        withdrawal = Withdrawal.objects.get()
        assert (withdrawal.mailing, withdrawal.client) == (mailing, person)
        assert plan(mailing, now) == 0

    def test_a_failed_one_can_be_withdrawn(self, message: Message, now: datetime) -> None:
        change(message, status="fail", attempts=1)
        services.withdraw_message(message, now=now)
        assert not Message.objects.exists()

    def test_a_deleted_clients_message_can_be_withdrawn(
        self, message: Message, person: Client, now: datetime
    ) -> None:
        delete_client(person)
        message.refresh_from_db()
        services.withdraw_message(message, now=now)
        assert not Message.objects.exists()
        assert not Withdrawal.objects.exists()

    def test_one_that_may_have_arrived_stays_whatever_came_of_it_later(
        self, message: Message, now: datetime
    ) -> None:
        change(message, status="fail", error_code="throttled", attempts=2)
        for number, is_unclear in ((1, True), (2, False)):
            Attempt.objects.create(message=message, number=number, is_unclear=is_unclear)
        withdraw = partial(services.withdraw_message, message, now=now)
        assert refused(withdraw) == "message_unconfirmed"
        assert Message.objects.exists()

    def test_a_sent_one_is_kept(self, message: Message, now: datetime) -> None:
        change(message, status="success", next_attempt_at=None)
        assert refused(partial(services.withdraw_message, message, now=now)) == "message_sent"
        assert Message.objects.exists()

    def test_one_in_flight_is_kept_until_its_delivery_is_done_with_it(
        self, message: Message, now: datetime
    ) -> None:
        change(message, lease_token=-7, lease_until=now - MINUTE)
        withdraw = partial(services.withdraw_message, message, now=now)
        assert refused(withdraw) == "message_in_flight"
        change(message, lease_until=None)
        withdraw()
        assert not Message.objects.exists()

    @pytest.mark.parametrize("how", OVER)
    def test_a_mailing_that_is_over_keeps_its_messages(
        self, mailing: "Mailing", message: Message, now: datetime, how: str
    ) -> None:
        end(mailing, how)
        assert refused(partial(services.withdraw_message, message, now=now)) == "mailing_over"
        assert Message.objects.exists()


class TestResending:
    @pytest.fixture
    def failed(self, message: Message) -> Message:
        change(message, status="fail", attempts=1, next_attempt_at=None, error_code="rejected")
        return message

    def test_a_failed_one_is_due_again_now(self, failed: Message, now: datetime) -> None:
        message = services.resend_message(failed, now=now)
        message.refresh_from_db()
        assert (message.status, message.next_attempt_at) == ("fail", now)
        assert (message.attempts, message.error_code) == (1, "rejected")

    def test_what_an_earlier_attempt_comes_to_does_not_stop_it(
        self, failed: Message, now: datetime
    ) -> None:
        change(failed, error_code="unconfirmed", lease_token=-7)
        services.resend_message(failed, now=now)
        late = Outcome(failed.pk, "fail", error_code="rejected")
        assert bulk.record([late], token=-7) == 0
        assert Message.objects.get().next_attempt_at == now

    def test_one_that_waits_for_its_next_attempt_is_brought_forward(
        self, failed: Message, now: datetime
    ) -> None:
        change(failed, next_attempt_at=now + MINUTE)
        assert services.resend_message(failed, now=now).next_attempt_at == now

    @pytest.mark.parametrize(
        ("status", "code"), [("pending", "message_not_failed"), ("success", "message_sent")]
    )
    def test_only_failed_ones_are_sent_again(
        self, failed: Message, now: datetime, status: str, code: str
    ) -> None:
        change(failed, status=status)
        assert refused(partial(services.resend_message, failed, now=now)) == code
        assert Message.objects.get().next_attempt_at is None

    def test_one_in_flight_is_left_alone(self, failed: Message, now: datetime) -> None:
        change(failed, lease_token=-7, lease_until=now + MINUTE)
        assert refused(partial(services.resend_message, failed, now=now)) == "message_in_flight"

    @pytest.mark.parametrize("status", ["scheduled", "paused"])
    def test_nothing_is_sent_again_while_the_mailing_does_not_run(
        self, mailing: "Mailing", failed: Message, now: datetime, status: str
    ) -> None:
        type(mailing).objects.update(status=status)
        resend = partial(services.resend_message, failed, now=now)
        assert refused(resend) == "mailing_not_running"

    @pytest.mark.parametrize("how", OVER)
    def test_nothing_is_sent_again_once_the_mailing_is_over(
        self, mailing: "Mailing", failed: Message, now: datetime, how: str
    ) -> None:
        end(mailing, how)
        assert refused(partial(services.resend_message, failed, now=now)) == "mailing_over"


def make_deferred_due(mailing: "Mailing", now: datetime) -> int:
    """Make due what was put off; count the messages that are due at this very moment."""
    requeueing.requeue_deferred(mailing.pk, after=0, window=None, now=now)
    return Message.objects.filter(mailing=mailing, next_attempt_at=now).count()


def make_failed_due(mailing: "Mailing", now: datetime) -> int:
    """Make due again what may fare better; count the messages that are due at this very moment."""
    codes = requeueing.transient_codes()
    requeueing.requeue_failed(mailing.pk, after=0, codes=codes, now=now)
    return Message.objects.filter(mailing=mailing, next_attempt_at=now).count()


class TestMakingDue:
    def test_what_was_put_off_untried_is_due_now(
        self, mailing: "Mailing", message: Message, now: datetime
    ) -> None:
        change(message, next_attempt_at=now + MINUTE)
        assert make_deferred_due(mailing, now) == 1
        assert Message.objects.get().next_attempt_at == now

    @pytest.mark.parametrize(
        "fields",
        [{"attempts": 1, "status": "fail"}, {"status": "success", "next_attempt_at": None}],
    )
    def test_what_was_tried_or_is_final_stays(
        self, mailing: "Mailing", message: Message, now: datetime, fields: dict[str, Any]
    ) -> None:
        change(message, **{"next_attempt_at": now + MINUTE, **fields})
        assert make_deferred_due(mailing, now) == 0

    def test_what_is_in_flight_stays(
        self, mailing: "Mailing", message: Message, now: datetime
    ) -> None:
        later = now + MINUTE
        change(message, next_attempt_at=later, lease_token=-7, lease_until=later)
        assert make_deferred_due(mailing, now) == 0

    def test_with_a_window_it_is_due_when_that_opens_where_the_client_lives(
        self, mailing: "Mailing", make_clients: MakeClients, now: datetime
    ) -> None:
        noon = now.replace(hour=12, minute=0, second=0, microsecond=0)
        for zone in ("UTC", "Asia/Tokyo"):
            (client,) = make_clients(1, timezone=zone)
            Message.objects.create(
                mailing=mailing, client=client, timezone=zone, next_attempt_at=noon + MINUTE
            )
        window = Window(time(9), time(18))
        requeueing.requeue_deferred(mailing.pk, after=0, window=window, now=noon)
        due = dict(Message.objects.values_list("timezone", "next_attempt_at"))
        assert due["UTC"] == noon
        assert due["Asia/Tokyo"] == noon.replace(hour=0) + timedelta(days=1)

    def test_a_step_looks_at_so_many_messages_and_says_where_to_go_on(
        self,
        mailing: "Mailing",
        make_clients: MakeClients,
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(requeueing, "CHUNK", 2)
        clients = make_clients(5)
        Message.objects.bulk_create(
            Message(mailing=mailing, client=client, next_attempt_at=now + MINUTE)
            for client in clients
        )
        after: int | None = 0
        due = []
        while after is not None:
            after = requeueing.requeue_deferred(mailing.pk, after=after, window=None, now=now)
            due.append(Message.objects.filter(next_attempt_at=now).count())
        assert due == [2, 4, 5]

    def test_other_mailings_messages_stay(
        self, make_mailing: MakeMailing, message: Message, now: datetime
    ) -> None:
        change(message, next_attempt_at=now + MINUTE)
        assert make_deferred_due(make_mailing(), now) == 0


class TestConfirming:
    @pytest.fixture
    def unconfirmed(self, message: Message) -> Message:
        change(
            message,
            status="fail",
            attempts=2,
            next_attempt_at=None,
            error_code="unconfirmed",
            error="No answer.",
            lease_token=-7,
        )
        Attempt.objects.create(message=message, number=2, error_code="unconfirmed", seconds=10)
        return message

    def test_it_is_sent_and_the_log_says_that_somebody_said_so(
        self, unconfirmed: Message, now: datetime
    ) -> None:
        message = services.confirm_message(unconfirmed, now=now)
        message.refresh_from_db()
        assert (message.status, message.sent_at, message.attempts) == ("success", now, 2)
        assert (message.error_code, message.error, message.lease_token) == ("", "", None)
        row = message.attempt_log.get()
        assert (row.number, row.error_code, row.seconds) == (2, "", 10)
        assert row.error == "It turned out later that it had arrived."

    def test_one_that_waits_for_another_attempt_is_not_sent_again(
        self, unconfirmed: Message, now: datetime
    ) -> None:
        change(unconfirmed, next_attempt_at=now)
        services.confirm_message(unconfirmed, now=now)
        assert Message.objects.get().next_attempt_at is None

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"error_code": "rejected"}, "message_not_unconfirmed"),
            ({"error_code": "", "status": "pending"}, "message_not_unconfirmed"),
            ({"status": "success"}, "message_sent"),
            ({"lease_until": Now()}, "message_in_flight"),
        ],
    )
    def test_only_what_nobody_knows_is_confirmed(
        self, unconfirmed: Message, now: datetime, fields: dict[str, Any], code: str
    ) -> None:
        change(unconfirmed, **fields)
        assert refused(partial(services.confirm_message, unconfirmed, now=now)) == code
        assert Message.objects.get().sent_at is None

    @pytest.mark.parametrize("how", OVER)
    def test_the_counts_of_a_mailing_that_is_closed_follow(
        self, mailing: "Mailing", unconfirmed: Message, now: datetime, how: str
    ) -> None:
        end(mailing, how)
        type(mailing).objects.update(success_count=4, fail_count=3)
        services.confirm_message(unconfirmed, now=now)
        mailing.refresh_from_db()
        assert (mailing.success_count, mailing.fail_count) == (5, 2)

    def test_those_of_one_that_is_not_are_counted_at_its_end(
        self, mailing: "Mailing", unconfirmed: Message, now: datetime
    ) -> None:
        services.confirm_message(unconfirmed, now=now)
        mailing.refresh_from_db()
        assert (mailing.success_count, mailing.fail_count) == (None, None)


class TestTakingUpAgain:
    @pytest.fixture
    def spent(self, message: Message) -> Message:
        """Return a message that failed with no time left for another attempt."""
        change(message, status="fail", attempts=1, next_attempt_at=None, error_code="throttled")
        return message

    def due_codes(self, mailing: "Mailing", message: Message, now: datetime) -> set[str]:
        """Return the reasons after which a failed message is taken up again."""
        found = set()
        for code in ErrorCode.values:
            change(message, status="fail", next_attempt_at=None, error_code=code)
            if make_failed_due(mailing, now):
                found.add(code)
        return found

    def test_what_may_fare_better_is_due_now(
        self, mailing: "Mailing", spent: Message, now: datetime
    ) -> None:
        passing = {"unauthorized", "throttled", "unavailable", "bad_response"}
        assert self.due_codes(mailing, spent, now) == passing | {"unconfirmed"}

    def test_what_may_have_arrived_is_not_if_the_sender_drops_no_repeats(
        self, mailing: "Mailing", spent: Message, now: datetime, settings: Settings
    ) -> None:
        settings.MESSAGE_SENDER_IDEMPOTENT = False
        passing = {"unauthorized", "throttled", "unavailable", "bad_response"}
        assert self.due_codes(mailing, spent, now) == passing

    def test_it_goes_on_with_its_attempts(
        self, mailing: "Mailing", spent: Message, now: datetime
    ) -> None:
        make_failed_due(mailing, now)
        spent.refresh_from_db()
        assert (spent.status, spent.next_attempt_at, spent.attempts) == ("fail", now, 1)

    def test_what_waits_for_its_time_waits_on(
        self, mailing: "Mailing", spent: Message, now: datetime
    ) -> None:
        change(spent, next_attempt_at=now + MINUTE)
        assert make_failed_due(mailing, now) == 0

    def test_other_mailings_messages_stay(
        self, make_mailing: MakeMailing, spent: Message, now: datetime
    ) -> None:
        assert make_failed_due(make_mailing(), now) == 0

    @pytest.mark.parametrize("hours", [-1, 1])
    def test_it_is_done_when_the_stop_time_is_moved_later(
        self, mailing: "Mailing", spent: Message, now: datetime, hours: int
    ) -> None:
        mailing.refresh_from_db()
        mailing.stop_time += timedelta(hours=hours / 2)
        edit_mailing(mailing, now=now)
        requeue_chunk(mailing.pk, now=now)
        assert Message.objects.due(now).exists() is (hours > 0)


class TestPlanningIntoWindows:
    """At noon in UTC it is 15:00 in Moscow, 21:00 in Tokyo and 6:00 in Chicago."""

    NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def plan(
        self, make_mailing: MakeMailing, make_clients: MakeClients, start: int, end: int
    ) -> dict[str, int]:
        """Plan at noon for the window between two hours; return {zone: hours until due}."""
        for zone in ("Europe/Moscow", "Asia/Tokyo", "America/Chicago"):
            make_clients(1, timezone=zone)
        plan(make_mailing(window_start=time(start), window_end=time(end)), self.NOON)
        rows = Message.objects.values_list("client__timezone", "next_attempt_at")
        return {str(zone): (at - self.NOON) // (60 * MINUTE) for zone, at in rows if at}

    def test_each_zone_is_due_when_its_window_opens(
        self, make_mailing: MakeMailing, make_clients: MakeClients
    ) -> None:
        assert self.plan(make_mailing, make_clients, 9, 18) == {
            "Europe/Moscow": 0,
            "Asia/Tokyo": 12,
            "America/Chicago": 3,
        }

    def test_a_window_may_last_over_night(
        self, make_mailing: MakeMailing, make_clients: MakeClients
    ) -> None:
        assert self.plan(make_mailing, make_clients, 20, 7) == {
            "Europe/Moscow": 5,
            "Asia/Tokyo": 0,
            "America/Chicago": 0,
        }

    def test_without_a_window_all_are_due_now(
        self, mailing: "Mailing", make_clients: MakeClients, now: datetime
    ) -> None:
        make_clients(1, timezone="Asia/Tokyo")
        plan(mailing, now)
        assert Message.objects.get().next_attempt_at == now

    def test_only_zones_in_which_it_is_shut_have_an_opening(
        self, make_clients: MakeClients
    ) -> None:
        make_clients(2, timezone="Europe/Moscow")
        make_clients(2, timezone="Asia/Tokyo")
        window = Window(time(9), time(18))
        assert planning.openings_of(window, Client.objects.all(), self.NOON) == {
            "Asia/Tokyo": self.NOON + timedelta(hours=12)
        }


class TestGivingUp:
    def fail_unsent(
        self, mailing: "Mailing", error_code: str = "expired", **changes: Any
    ) -> Message:
        for name, value in changes.items():
            setattr(mailing, name, value)
        services.fail_unsent(mailing.snapshot(timezone.now()), ErrorCode(error_code))
        return Message.objects.get(mailing=mailing)

    @pytest.mark.parametrize(
        ("code", "words"),
        [("expired", "The stop time came first."), ("cancelled", "The mailing was cancelled.")],
    )
    def test_a_pending_one_fails_for_the_reason_given(
        self, mailing: "Mailing", message: Message, code: str, words: str
    ) -> None:
        given_up = self.fail_unsent(mailing, code)
        assert (given_up.status, given_up.error_code, given_up.error) == ("fail", code, words)
        assert given_up.next_attempt_at is None

    def test_one_put_off_fails_too(
        self, mailing: "Mailing", message: Message, now: datetime
    ) -> None:
        change(message, next_attempt_at=now + MINUTE)
        assert self.fail_unsent(mailing).error_code == "expired"

    def test_a_stranger_fails_as_not_matched(self, mailing: "Mailing", message: Message) -> None:
        given_up = self.fail_unsent(mailing, filters={"tag": "vip"})
        assert (given_up.status, given_up.error_code) == ("fail", "not_matched")

    @pytest.mark.parametrize("status", ["pending", "fail"])
    @pytest.mark.parametrize("filters", [{}, {"tag": "vip"}])
    def test_one_that_may_have_arrived_is_unconfirmed_whatever_else_it_is(
        self, mailing: "Mailing", message: Message, status: str, filters: dict[str, str]
    ) -> None:
        change(message, status=status, attempts=2, error_code="throttled", error="Slowly.")
        Attempt.objects.create(
            message=message, number=1, error_code="bad_response", is_unclear=True
        )
        given_up = self.fail_unsent(mailing, filters=filters)
        assert (given_up.status, given_up.error_code) == ("fail", "unconfirmed")
        assert (given_up.error, given_up.next_attempt_at) == ("Slowly.", None)

    def test_a_deleted_client_fails_as_not_matched(
        self, mailing: "Mailing", message: Message, person: Client
    ) -> None:
        delete_client(person)
        assert self.fail_unsent(mailing).error_code == "not_matched"

    def test_a_stranger_added_by_hand_fails_as_the_others(
        self, mailing: "Mailing", message: Message
    ) -> None:
        change(message, is_manual=True)
        assert self.fail_unsent(mailing, filters={"tag": "vip"}).error_code == "expired"

    @pytest.mark.parametrize(
        ("opens_in", "code"), [(-1, "expired"), (0, "out_of_window"), (300, "out_of_window")]
    )
    def test_one_whose_window_would_open_only_after_the_stop_was_out_of_window(
        self, mailing: "Mailing", message: Message, opens_in: int, code: str
    ) -> None:
        change(message, next_attempt_at=mailing.stop_time + timedelta(seconds=opens_in))
        given_up = self.fail_unsent(mailing, window_start=time(9), window_end=time(18))
        assert (given_up.status, given_up.error_code) == ("fail", code)
        assert given_up.next_attempt_at is None

    def test_without_a_window_nothing_is_out_of_it(
        self, mailing: "Mailing", message: Message
    ) -> None:
        change(message, next_attempt_at=mailing.stop_time + MINUTE)
        assert self.fail_unsent(mailing).error_code == "expired"

    def test_a_failed_one_keeps_its_reason(self, mailing: "Mailing", message: Message) -> None:
        change(message, status="fail", error_code="throttled")
        given_up = self.fail_unsent(mailing, filters={"tag": "vip"})
        assert (given_up.error_code, given_up.next_attempt_at) == ("throttled", None)

    def test_what_an_earlier_attempt_comes_to_does_not_change_it_any_more(
        self, mailing: "Mailing", message: Message, now: datetime
    ) -> None:
        change(message, status="fail", error_code="unconfirmed", lease_token=-7)
        self.fail_unsent(mailing)
        late = Outcome(message.pk, "fail", next_attempt_at=now, error_code="throttled")
        assert bulk.record([late], token=-7) == 0

    def test_one_in_flight_is_left_until_its_delivery_is_done_with_it(
        self, mailing: "Mailing", message: Message, now: datetime
    ) -> None:
        change(message, lease_token=-7, lease_until=now - MINUTE)
        assert self.fail_unsent(mailing).status == "pending"
        change(message, lease_token=None, lease_until=None)
        assert self.fail_unsent(mailing).error_code == "expired"

    def test_other_mailings_messages_are_left(
        self, make_mailing: MakeMailing, message: Message
    ) -> None:
        services.fail_unsent(make_mailing().snapshot(timezone.now()), ErrorCode.EXPIRED)
        assert Message.objects.get().status == "pending"

    @pytest.mark.parametrize("status", ["pending", "fail"])
    def test_an_answer_that_is_written_amid_it_does_not_hide_a_doubt(
        self,
        mailing: "Mailing",
        message: Message,
        make_clients: MakeClients,
        now: datetime,
        status: str,
    ) -> None:
        """In flight when it begins, the message is refused; an earlier attempt may have arrived."""
        Message.objects.create(mailing=mailing, client=make_clients(1)[0], next_attempt_at=now)
        Attempt.objects.create(message=message, number=1, error_code="x", is_unclear=True)
        change(message, attempts=2, status="fail", lease_token=-7, lease_until=now + MINUTE)
        answers = [
            Outcome(message.pk, status, error_code="throttled", next_attempt_at=now + MINUTE)
        ]

        def record_amid(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
            if answers and sql.startswith("INSERT"):  # The others are failed, and not posted yet.
                bulk.record([answers.pop()], token=-7)
            return execute(sql, *arguments)

        with connection.execute_wrapper(record_amid):
            while services.fail_unsent(mailing.snapshot(now), ErrorCode.EXPIRED):
                pass
        assert not answers
        message.refresh_from_db()
        assert (message.status, message.error_code) == ("fail", "unconfirmed")
        assert message.next_attempt_at is None

    def test_more_than_one_transaction_takes_are_given_up(
        self,
        mailing: "Mailing",
        make_clients: MakeClients,
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(services, "FAIL_CHUNK", 2)
        Message.objects.bulk_create(
            Message(mailing=mailing, client=client, next_attempt_at=now)
            for client in make_clients(5)
        )
        steps = 0
        while services.fail_unsent(mailing.snapshot(now), ErrorCode.EXPIRED):
            steps += 1
        assert steps == 3
        assert Message.objects.filter(error_code="expired", next_attempt_at=None).count() == 5

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("status", ["pending", "fail"])
    @pytest.mark.parametrize("filters", [{}, {"tag": "vip"}])
    def test_what_is_claimed_at_the_last_moment_is_left(
        self,
        mailing: "Mailing",
        message: Message,
        now: datetime,
        status: str,
        filters: dict[str, str],
    ) -> None:
        change(message, status=status, error_code="throttled")

        def fail_unsent() -> None:
            mailing.filters = filters
            services.fail_unsent(mailing.snapshot(now), ErrorCode.EXPIRED)
            connection.close()

        giving_up = Thread(target=fail_unsent)
        with transaction.atomic():
            change(message, lease_token=-7, lease_until=now + MINUTE)
            giving_up.start()
            giving_up.join(0.3)
            assert giving_up.is_alive()
        giving_up.join()
        message.refresh_from_db()
        assert (message.status, message.lease_token) == (status, -7)
        assert message.error_code == "throttled"
