"""The ids by which the sender knows messages: one for a number of a mailing, whatever happens."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from clients.models import Client
from clients.services import delete_client
from mailings import preparing
from messages_app.engine import bulk, recovery
from messages_app.engine.records import Outcome
from messages_app.models import Lease, Message
from messages_app.sender_ids import sender_id
from messages_app.tests.scenes import TOKEN, accept, claim, claim_ids

if TYPE_CHECKING:
    from mailings.models import Mailing

MakeClients = Callable[..., list[Client]]
MakeMailing = Callable[..., "Mailing"]

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
keys = st.integers(0, 2**63 - 1)
numbers = st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True)


def replan(mailing: "Mailing", now: datetime) -> None:
    type(mailing).objects.update(last_run_time=None)
    preparing.plan_chunk(mailing.pk, now=now)


class TestMaking:
    @given(keys, numbers)
    def test_it_is_a_positive_number_of_64_bits(self, key: int, number: str) -> None:
        assert 0 <= sender_id(key, message_id=1, phone_number=number) < 2**63

    @given(keys, numbers, st.integers(1), st.integers(1))
    def test_it_depends_on_mailing_and_number_and_not_on_the_message(
        self, key: int, number: str, one: int, other: int
    ) -> None:
        ids = {sender_id(key, message_id=pk, phone_number=number) for pk in (one, other)}
        assert len(ids) == 1

    def test_no_two_are_the_same(self) -> None:
        ids = {
            sender_id(key, message_id=1, phone_number=str(number))
            for key in range(100)
            for number in range(79990000000, 79990000500)
        }
        assert len(ids) == 50_000

    def test_it_is_the_same_in_every_release(self) -> None:
        assert sender_id(1, message_id=5, phone_number="79991234567") == 3405658934792701865

    def test_a_message_of_a_mailing_without_key_is_known_by_its_own_id(self) -> None:
        assert sender_id(None, message_id=5, phone_number="79991234567") == 5


@pytest.mark.django_db
class TestMessages:
    def test_each_mailing_has_a_key_of_its_own(self, make_mailing: MakeMailing) -> None:
        assert len({make_mailing().sender_key for _ in range(20)}) == 20

    def test_planned_again_it_has_the_id_it_had(
        self, mailing: "Mailing", make_clients: MakeClients, now: datetime
    ) -> None:
        make_clients(1)
        replan(mailing, now)
        before = Message.objects.get()
        Message.objects.all().delete()
        replan(mailing, now)
        assert Message.objects.get().pk != before.pk
        assert Message.objects.get().sender_id == before.sender_id

    def test_an_edited_number_changes_it_while_nothing_went_out(
        self, mailing: "Mailing", make_clients: MakeClients, now: datetime
    ) -> None:
        make_clients(1)
        replan(mailing, now)
        before = Message.objects.get().sender_id
        Client.objects.update(phone_number="79000000001")
        claim(mailing, now)
        assert Message.objects.get().phone_number == "79000000001"
        assert Message.objects.get().sender_id != before

    def test_an_edited_number_does_not_change_it_once_it_may_have_arrived(
        self, mailing: "Mailing", make_clients: MakeClients, now: datetime
    ) -> None:
        make_clients(1)
        replan(mailing, now)
        claim(mailing, now)
        before = Message.objects.get()
        recovery.reclaim_expired(now=now + MINUTE)
        Client.objects.update(phone_number="79000000001")
        assert claim(mailing, now + MINUTE, token=-8)
        assert Message.objects.get().phone_number == before.phone_number
        assert Message.objects.get().sender_id == before.sender_id


@pytest.mark.django_db
class TestOneNumberOnce:
    """A client that is deleted and imported again is the same person."""

    def reimport(self) -> None:
        for client in Client.objects.all():
            number = client.phone_number
            delete_client(client)
            Client.objects.create(phone_number=number, operator_code="999")

    @pytest.mark.parametrize("outcome", ["success", "fail", "in flight"])
    def test_a_number_that_was_sent_to_is_not_planned_again(
        self, mailing: "Mailing", make_clients: MakeClients, now: datetime, outcome: str
    ) -> None:
        make_clients(2)
        replan(mailing, now)
        ids = claim_ids(mailing, now)
        if outcome == "success":
            accept(ids, at=now)
        elif outcome == "fail":
            bulk.record([Outcome(pk, "fail", error_code="rejected") for pk in ids], token=TOKEN)
        self.reimport()
        replan(mailing, now)
        assert Message.objects.count() == 2

    def test_a_number_whose_message_waits_for_a_client_that_is_gone_is_planned_again(
        self, mailing: "Mailing", make_clients: MakeClients, now: datetime
    ) -> None:
        make_clients(2)
        replan(mailing, now)
        (pk,) = claim_ids(mailing, now, limit=1)
        again = Outcome(pk, "fail", error_code="throttled", next_attempt_at=now)
        bulk.record([again], token=TOKEN)
        self.reimport()
        replan(mailing, now)
        assert Message.objects.exclude(client=None).count() == 2

    def test_another_mailing_reaches_it(
        self,
        mailing: "Mailing",
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        make_clients(1)
        replan(mailing, now)
        accept(claim_ids(mailing, now), at=now)
        self.reimport()
        other = make_mailing()
        replan(other, now)
        assert Message.objects.filter(mailing=other).count() == 1


@pytest.mark.django_db
class TestEarlierVersions:
    """Their deliveries know messages by their own ids, and their tokens are above 0."""

    def test_they_are_refused_a_mailing_with_a_key(self, mailing: "Mailing", now: datetime) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            Lease.objects.create(token=7, mailing=mailing, expires_at=now + HOUR)
        Lease.objects.create(token=-7, mailing=mailing, expires_at=now + HOUR)

    def test_they_go_on_with_mailings_of_before(
        self, make_mailing: MakeMailing, now: datetime
    ) -> None:
        mailing = make_mailing(sender_key=None)
        Lease.objects.create(token=7, mailing=mailing, expires_at=now + HOUR)
        assert mailing.leases.count() == 1
