"""Questions and set-based changes: to messages, doorbells, leases and heartbeats."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from messages_app.models import Doorbell, Heartbeat, Lease, Message

if TYPE_CHECKING:
    from mailings.models import Mailing

pytestmark = pytest.mark.django_db

Add = Callable[..., list[Message]]
MakeMailing = Callable[..., "Mailing"]
AtOnce = Callable[..., list[Any]]

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


class TestPhrases:
    def test_a_message_is_due_from_its_time_on(self, add: Add, now: datetime) -> None:
        add(1, next_attempt_at=now)
        assert not Message.objects.due(now - SECOND).exists()
        assert Message.objects.due(now).exists()

    def test_a_leased_message_is_neither_free_nor_due_however_old_the_lease(
        self, add: Add, now: datetime
    ) -> None:
        (message,) = add(1, lease_token=-7, lease_until=now - MINUTE)
        assert Message.objects.leased().get() == message
        assert not Message.objects.unleased().exists()
        assert not Message.objects.due(now).exists()

    def test_one_whose_answer_may_still_come_is_free(self, add: Add, now: datetime) -> None:
        (message,) = add(1, lease_token=-7)
        assert Message.objects.unleased().get() == Message.objects.due(now).get() == message
        assert not Message.objects.leased().exists()

    def test_a_delivery_holds_what_it_has_claimed_and_not_finished(
        self, mailing: "Mailing", make_mailing: MakeMailing, add: Add, now: datetime
    ) -> None:
        (message,) = add(1, lease_token=-7, lease_until=now)
        add(1, lease_token=-8, lease_until=now)
        add(1, lease_token=-7)
        add(1, lease_token=-7, lease_until=now, mailing=make_mailing())
        lease = Lease(token=-7, mailing=mailing, expires_at=now)
        assert Message.objects.leased_under(lease).get() == message

    def test_only_what_is_not_tried_again_is_unconfirmed(self, add: Add) -> None:
        (message,) = add(1, status="fail", error_code="unconfirmed", next_attempt_at=None)
        add(1, status="fail", error_code="unconfirmed")
        add(1, status="fail", error_code="rejected", next_attempt_at=None)
        assert Message.objects.unconfirmed().get() == message

    def test_messages_are_told_by_their_clients_zones(self, add: Add) -> None:
        moscow = add(2, timezone="Europe/Moscow")
        tokyo = add(1, timezone="Asia/Tokyo")
        zones = Message.objects.all().by_zone()
        assert {zone: sorted(ids) for zone, ids in zones.items()} == {
            "Europe/Moscow": [message.pk for message in moscow],
            "Asia/Tokyo": [message.pk for message in tokyo],
        }

    def test_messages_are_counted_by_status_and_by_mailing(
        self, mailing: "Mailing", make_mailing: MakeMailing, add: Add
    ) -> None:
        other = make_mailing()
        add(2)
        add(1, status="fail")
        add(3, status="fail", mailing=other)
        assert Message.objects.count_by_status() == {"pending": 2, "fail": 4}
        assert Message.objects.count_by_mailing() == {
            mailing.pk: {"pending": 2, "fail": 1},
            other.pk: {"fail": 3},
        }


class TestRinging:
    def ring(self, mailing: "Mailing", now: datetime, lanes: int = 2) -> list[int]:
        expires_at = now + MINUTE
        wanted = [(mailing.pk, lane) for lane in range(lanes)]
        rung = Doorbell.objects.ring(wanted, now=now, expires_at=expires_at)
        return sorted(lane for _, lane in rung)

    def test_a_lane_is_rung_once(self, mailing: "Mailing", now: datetime) -> None:
        assert [self.ring(mailing, now) for _ in range(3)] == [[0, 1], [], []]
        assert Doorbell.objects.count() == 2

    def test_only_the_missing_ones_are_rung(self, mailing: "Mailing", now: datetime) -> None:
        self.ring(mailing, now, lanes=2)
        Doorbell.objects.filter(lane=1).delete()
        assert self.ring(mailing, now, lanes=3) == [1, 2]

    def test_an_expired_one_is_rung_again(self, mailing: "Mailing", now: datetime) -> None:
        self.ring(mailing, now)
        assert self.ring(mailing, now + MINUTE - SECOND) == []
        assert self.ring(mailing, now + MINUTE) == [0, 1]
        assert self.ring(mailing, now + MINUTE) == []

    def test_each_mailing_has_its_own(
        self, mailing: "Mailing", make_mailing: MakeMailing, now: datetime
    ) -> None:
        assert self.ring(mailing, now) == self.ring(make_mailing(), now) == [0, 1]

    @pytest.mark.django_db(transaction=True)
    def test_of_ten_at_once_each_lane_is_rung_by_one(
        self, mailing: "Mailing", now: datetime, at_once: AtOnce
    ) -> None:
        rung = at_once(*[partial(self.ring, mailing, now)] * 10)
        assert sorted(lane for lanes in rung for lane in lanes) == [0, 1]


def test_a_lease_expires_at_its_time(mailing: "Mailing", now: datetime) -> None:
    lease = Lease.objects.create(token=-7, mailing=mailing, expires_at=now)
    assert not Lease.objects.expired(now - SECOND).exists()
    assert Lease.objects.expired(now).get() == lease


class TestBeating:
    def beat(self, now: datetime, name: str = "beat") -> datetime:
        """Leave a heartbeat; return the time of the last one."""
        Heartbeat.objects.beat(name, now)
        return Heartbeat.objects.get(name=name).at

    def test_the_first_one_is_kept(self, now: datetime) -> None:
        assert self.beat(now) == now

    def test_it_is_kept_again_once_it_has_got_old(self, now: datetime) -> None:
        self.beat(now)
        assert self.beat(now + 4 * SECOND) == now
        assert self.beat(now + 5 * SECOND) == now + 5 * SECOND

    def test_each_part_has_its_own(self, now: datetime) -> None:
        self.beat(now)
        assert self.beat(now + SECOND, name="messages") == now + SECOND
        assert Heartbeat.objects.count() == 2

    @pytest.mark.django_db(transaction=True)
    def test_ten_at_once_are_nobodys_error(self, now: datetime, at_once: AtOnce) -> None:
        assert at_once(*[partial(self.beat, now)] * 10) == [now] * 10
