"""What is done with single messages, and what is given up when a mailing is over."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from clients.models import Client
from clients.services import delete_client
from messages_app import services
from messages_app.models import Message, Withdrawal

if TYPE_CHECKING:
    from mailings.models import Mailing

pytestmark = pytest.mark.django_db

MakeClients = Callable[..., list[Client]]
MakeMailing = Callable[..., "Mailing"]

MINUTE = timedelta(minutes=1)


@pytest.fixture
def mailing(make_mailing: MakeMailing) -> "Mailing":
    return make_mailing()


@pytest.fixture
def person(make_clients: MakeClients) -> Client:
    return make_clients(1)[0]


@pytest.fixture
def message(mailing: "Mailing", person: Client, now: datetime) -> Message:
    return Message.objects.create(mailing=mailing, client=person, next_attempt_at=now)


def change(message: Message, **fields: Any) -> None:
    """Change a message behind the back of whoever has read it."""
    Message.objects.filter(pk=message.pk).update(**fields)


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
        found = services.running_mailing(mailing.pk, now)
        assert found
        assert found.text == "Good morning"

    @pytest.mark.parametrize("status", ["scheduled", "paused", "finished", "cancelled"])
    def test_one_that_does_not_run_is_none(
        self, mailing: "Mailing", now: datetime, status: str
    ) -> None:
        type(mailing).objects.update(status=status)
        assert services.running_mailing(mailing.pk, now) is None

    def test_outside_its_time_it_is_none(self, mailing: "Mailing") -> None:
        early = mailing.start_time - timedelta(microseconds=1)
        assert services.running_mailing(mailing.pk, early) is None
        assert services.running_mailing(mailing.pk, mailing.stop_time) is None


class TestAdding:
    def test_a_client_added_by_hand_is_due_at_once(
        self, mailing: "Mailing", person: Client, now: datetime
    ) -> None:
        message = services.add_message(mailing=mailing, client=person, now=now)
        message.refresh_from_db()
        assert (message.mailing, message.client) == (mailing, person)
        assert (message.status, message.attempts, message.is_manual) == ("pending", 0, True)
        assert (message.next_attempt_at, message.phone_number) == (now, person.phone_number)

    def test_before_the_start_it_is_due_at_the_start(
        self, make_mailing: MakeMailing, person: Client, now: datetime
    ) -> None:
        mailing = make_mailing(status="scheduled", start_time=now + MINUTE)
        message = services.add_message(mailing=mailing, client=person, now=now)
        assert message.next_attempt_at == now + MINUTE

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

    def test_planning_leaves_what_was_added_by_hand(
        self, mailing: "Mailing", person: Client, now: datetime
    ) -> None:
        services.add_message(mailing=mailing, client=person, now=now)
        assert services.plan(mailing_id=mailing.pk, audience=Client.objects.all(), now=now) == 0
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
        assert services.plan(mailing_id=mailing.pk, audience=Client.objects.all(), now=now) == 0

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

    def test_a_sent_one_is_kept(self, message: Message, now: datetime) -> None:
        change(message, status="success", next_attempt_at=None)
        assert refused(partial(services.withdraw_message, message, now=now)) == "message_sent"
        assert Message.objects.exists()

    def test_one_in_flight_is_kept_until_its_lease_ends(
        self, message: Message, now: datetime
    ) -> None:
        change(message, lease_token=7, lease_until=now + MINUTE)
        withdraw = partial(services.withdraw_message, message)
        assert refused(partial(withdraw, now=now)) == "message_in_flight"
        withdraw(now=now + MINUTE)
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
        change(failed, lease_token=7, lease_until=now + MINUTE)
        assert refused(partial(services.resend_message, failed, now=now)) == "message_in_flight"

    @pytest.mark.parametrize("status", ["scheduled", "paused"])
    def test_not_while_the_mailing_does_not_run(
        self, mailing: "Mailing", failed: Message, now: datetime, status: str
    ) -> None:
        type(mailing).objects.update(status=status)
        resend = partial(services.resend_message, failed, now=now)
        assert refused(resend) == "mailing_not_running"

    @pytest.mark.parametrize("how", OVER)
    def test_not_once_the_mailing_is_over(
        self, mailing: "Mailing", failed: Message, now: datetime, how: str
    ) -> None:
        end(mailing, how)
        assert refused(partial(services.resend_message, failed, now=now)) == "mailing_over"


class TestMakingDue:
    def test_what_was_put_off_untried_is_due_now(
        self, mailing: "Mailing", message: Message, now: datetime
    ) -> None:
        change(message, next_attempt_at=now + MINUTE)
        assert services.make_due(mailing_id=mailing.pk, now=now) == 1
        assert Message.objects.get().next_attempt_at == now

    @pytest.mark.parametrize(
        "fields",
        [{"attempts": 1, "status": "fail"}, {"status": "success", "next_attempt_at": None}],
    )
    def test_what_was_tried_or_is_final_stays(
        self, mailing: "Mailing", message: Message, now: datetime, fields: dict[str, Any]
    ) -> None:
        change(message, **{"next_attempt_at": now + MINUTE, **fields})
        assert services.make_due(mailing_id=mailing.pk, now=now) == 0

    def test_what_is_in_flight_stays(
        self, mailing: "Mailing", message: Message, now: datetime
    ) -> None:
        later = now + MINUTE
        change(message, next_attempt_at=later, lease_token=7, lease_until=later)
        assert services.make_due(mailing_id=mailing.pk, now=now) == 0

    def test_other_mailings_messages_stay(
        self, make_mailing: MakeMailing, message: Message, now: datetime
    ) -> None:
        change(message, next_attempt_at=now + MINUTE)
        assert services.make_due(mailing_id=make_mailing().pk, now=now) == 0


class TestGivingUp:
    def give_up(self, mailing: "Mailing", now: datetime, **filters: Any) -> tuple[str, str]:
        services.give_up(
            mailing_id=mailing.pk, filters=filters, error_code="expired", error="Late.", now=now
        )
        message = Message.objects.get(mailing=mailing)
        assert (message.status == "fail") is (message.next_attempt_at is None)
        return message.status, message.error_code

    def test_a_pending_one_fails_for_the_reason_given(
        self, mailing: "Mailing", message: Message, now: datetime
    ) -> None:
        assert self.give_up(mailing, now) == ("fail", "expired")
        assert Message.objects.get().error == "Late."

    def test_one_put_off_fails_too(
        self, mailing: "Mailing", message: Message, now: datetime
    ) -> None:
        change(message, next_attempt_at=now + MINUTE)
        assert self.give_up(mailing, now) == ("fail", "expired")

    def test_a_stranger_fails_as_not_matched(
        self, mailing: "Mailing", message: Message, now: datetime
    ) -> None:
        assert self.give_up(mailing, now, tag="vip") == ("fail", "not_matched")

    def test_a_stranger_added_by_hand_fails_as_the_others(
        self, mailing: "Mailing", message: Message, now: datetime
    ) -> None:
        change(message, is_manual=True)
        assert self.give_up(mailing, now, tag="vip") == ("fail", "expired")

    def test_a_failed_one_keeps_its_reason(
        self, mailing: "Mailing", message: Message, now: datetime
    ) -> None:
        change(message, status="fail", error_code="throttled")
        assert self.give_up(mailing, now, tag="vip") == ("fail", "throttled")

    def test_one_in_flight_is_left_until_its_lease_ends(
        self, mailing: "Mailing", message: Message, now: datetime
    ) -> None:
        change(message, lease_token=7, lease_until=now + MINUTE)
        assert self.give_up(mailing, now) == ("pending", "")
        assert self.give_up(mailing, now + MINUTE) == ("fail", "expired")

    def test_other_mailings_messages_are_left(
        self, make_mailing: MakeMailing, mailing: "Mailing", message: Message, now: datetime
    ) -> None:
        services.give_up(
            mailing_id=make_mailing().pk, filters={}, error_code="expired", error="", now=now
        )
        assert Message.objects.get().status == "pending"

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

        def give_up() -> None:
            services.give_up(
                mailing_id=mailing.pk, filters=filters, error_code="expired", error="", now=now
            )
            connection.close()

        giving_up = Thread(target=give_up)
        with transaction.atomic():
            change(message, lease_token=7, lease_until=now + MINUTE)
            giving_up.start()
            giving_up.join(0.3)
            assert giving_up.is_alive()
        giving_up.join()
        message.refresh_from_db()
        assert (message.status, message.lease_token) == (status, 7)
        assert message.error_code == "throttled"
