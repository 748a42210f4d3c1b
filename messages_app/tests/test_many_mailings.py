"""One delivery serves many mailings: each for itself, and none waits for another."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from clients.models import Client
from mailings import preparing
from mailings.stats import balances_of
from messages_app.engine import claim_queue, doorbells, recovery
from messages_app.engine.claiming import Found, Share, claim
from messages_app.engine.records import Bell
from messages_app.models import Doorbell, Lease, Line, Message, Withdrawal
from messages_app.sender import Answer
from messages_app.sending import control
from messages_app.stats import by_status
from messages_app.tests.scenes import deliver
from messages_app.tests.scripted import Scripted, ScriptedTransport

if TYPE_CHECKING:
    from mailings.models import Mailing

pytestmark = pytest.mark.django_db

Add = Callable[..., list[Message]]
MakeClients = Callable[..., list[Client]]
MakeMailing = Callable[..., "Mailing"]
Queued = Callable[[], list[tuple[Any, ...]]]

MINUTE = timedelta(minutes=1)


@pytest.fixture
def two(make_mailing: MakeMailing, add: Add) -> "list[Mailing]":
    """Return two running mailings with five due messages each."""
    mailings = [make_mailing(text=text) for text in ("One", "Two")]
    for mailing in mailings:
        add(5, mailing=mailing)
        Line.objects.lengthen(mailing.pk)
    return mailings


def rung(*mailings: "Mailing") -> None:
    """Have doorbells wait for these mailings."""
    now = timezone.now()
    lanes = [(mailing.pk, 0) for mailing in mailings]
    Doorbell.objects.ring(lanes, now=now, expires_at=now + MINUTE)


def sent() -> dict[int, int]:
    """Return {mailing's id: messages that were sent}."""
    return {
        pk: each["success"]
        for pk, each in Message.objects.count_by_mailing().items()
        if "success" in each
    }


class TestClaiming:
    def share(self, mailing: "Mailing", now: datetime, *, limit: int = 10) -> Share:
        """Return a share of a mailing, whose lease is taken."""
        expires_at = now + MINUTE
        lease, _ = Lease.objects.get_or_create(
            token=-mailing.pk, mailing=mailing, expires_at=expires_at
        )
        return Share(mailing.snapshot(now), lease.token, limit)

    def claim(self, shares: Sequence[Share], now: datetime) -> list[Found]:
        return claim(shares, lease_until=now + MINUTE, recheck_at=now + 10 * MINUTE, now=now)

    def test_each_is_claimed_under_its_own_lease(self, two: "list[Mailing]", now: datetime) -> None:
        found = self.claim([self.share(mailing, now) for mailing in two], now)
        for mailing, (messages, is_more) in zip(two, found, strict=True):
            leased = Message.objects.filter(mailing=mailing, lease_token=-mailing.pk)
            assert sorted(leased.values_list("pk", flat=True)) == sorted(m.id for m in messages)
            assert (len(messages), is_more) == (5, False)

    def test_no_more_is_claimed_of_one_than_its_share(
        self, two: "list[Mailing]", now: datetime
    ) -> None:
        one, other = two
        found = self.claim([self.share(one, now, limit=2), self.share(other, now)], now)
        assert [(len(each.messages), each.is_more) for each in found] == [(2, True), (5, False)]

    def test_each_has_its_own_filters(self, two: "list[Mailing]", add: Add, now: datetime) -> None:
        for mailing, tag in zip(two, ("vip", "new"), strict=True):
            type(mailing).objects.filter(pk=mailing.pk).update(filters={"tag": tag})
            mailing.refresh_from_db()
            clients = Client.objects.filter(messages__mailing=mailing).order_by("pk")
            Client.objects.filter(pk=clients[1].pk).update(tag="vip")
            Client.objects.filter(pk=clients[2].pk).update(tag="new")
        found = self.claim([self.share(mailing, now) for mailing in two], now)
        tags = [
            {Client.objects.get(messages=message.id).tag for message in each.messages}
            for each in found
        ]
        assert tags == [{"vip"}, {"new"}]

    def test_one_that_was_edited_is_left_out_and_the_others_are_not(
        self, two: "list[Mailing]", now: datetime
    ) -> None:
        shares = [self.share(mailing, now) for mailing in two]
        type(two[0]).objects.filter(pk=two[0].pk).update(updated_at=now)
        assert [len(each.messages) for each in self.claim(shares, now)] == [0, 5]
        # It was not found to be empty: the new version is claimed.
        two[0].refresh_from_db()
        assert [len(each.messages) for each in self.claim([self.share(two[0], now)], now)] == [5]

    def test_one_whose_lease_was_reclaimed_is_left_out(
        self, two: "list[Mailing]", now: datetime
    ) -> None:
        shares = [self.share(mailing, now) for mailing in two]
        Lease.objects.filter(mailing=two[0]).delete()
        assert self.claim(shares, now)[0] == ([], False)
        assert Message.objects.filter(mailing=two[0], attempts=0).count() == 5

    @pytest.mark.parametrize(
        "change",
        [
            {"status": "paused"},
            {"start_time": MINUTE},
            {"stop_time": -MINUTE},
            {"deleted_at": -MINUTE},
            {"updated_at": -MINUTE},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_what_does_not_run_as_it_was_is_not_claimed(
        self, two: "list[Mailing]", change: dict[str, Any]
    ) -> None:
        """The condition that is written by hand is that of the queryset."""
        mailing, now = two[0], timezone.now()
        share = self.share(mailing, now)
        changes = {
            name: now + value if isinstance(value, timedelta) else value
            for name, value in change.items()
        }
        type(mailing).objects.filter(pk=mailing.pk).update(**changes)
        assert self.claim([share], now) == [([], False)]
        running = type(mailing).including_deleted.running(now).filter(deleted_at=None)
        assert not running.filter(pk=mailing.pk, updated_at=mailing.updated_at).exists()


class TestDelivering:
    def test_those_whose_doorbell_waits_are_served_along(
        self, two: "list[Mailing]", scripted: Scripted
    ) -> None:
        one, other = two
        rung(other)
        transport = scripted(20, ScriptedTransport.answer)
        assert deliver(one.pk) == 10
        assert sent() == {one.pk: 5, other.pk: 5}
        assert {request.text for request in transport.sent} == {'"One"', '"Two"'}
        assert not Lease.objects.exists()
        assert not Doorbell.objects.exists()

    @pytest.mark.usefixtures("attentive")
    def test_one_that_is_rung_for_during_a_delivery_does_not_wait_for_its_end(
        self, two: "list[Mailing]", scripted: Scripted
    ) -> None:
        one, other = two

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            if transport.polls == 1:
                rung(other)
                return []
            if transport.polls == 4:  # The first one is still on its way.
                assert {request.text for request in transport.sent} == {'"One"', '"Two"'}
            return transport.answer() if transport.polls > 4 else []

        scripted(20, script)
        assert deliver(one.pk) == 10

    def test_one_that_another_delivery_serves_is_left_to_it(
        self, two: "list[Mailing]", scripted: Scripted
    ) -> None:
        one, other = two
        rung(*two)
        assert doorbells.answer(Bell(other.pk, 0), timezone.now())
        scripted(20, ScriptedTransport.answer)
        assert deliver(other.pk) == 5
        assert sent() == {one.pk: 5}
        assert Doorbell.objects.get().mailing_id == other.pk

    def test_it_leaves_the_others_their_share(self, make_mailing: MakeMailing) -> None:
        """Two processes serve five mailings: not one of them all five."""
        mailings = [make_mailing() for _ in range(5)]
        rung(*mailings)
        taken = [
            len(doorbells.answer_waiting(50, besides=[], now=timezone.now())) for _ in range(4)
        ]
        assert taken == [3, 1, 1, 0]

    def test_of_a_mailing_with_two_lanes_it_serves_one(self, make_mailing: MakeMailing) -> None:
        mailing, now = make_mailing(), timezone.now()
        lanes = [(mailing.pk, lane) for lane in range(4)]
        Doorbell.objects.ring(lanes, now=now, expires_at=now + MINUTE)
        assert doorbells.answer_waiting(50, besides=[], now=now) == [Bell(mailing.pk, 0)]
        assert doorbells.answer_waiting(50, besides=[mailing.pk], now=now) == []

    def test_more_than_it_can_serve_at_once_are_served_one_after_the_other(
        self,
        make_mailing: MakeMailing,
        add: Add,
        scripted: Scripted,
        monkeypatch: pytest.MonkeyPatch,
        queued: Queued,
    ) -> None:
        monkeypatch.setattr(claim_queue, "MAX_TURNS", 3)
        monkeypatch.setattr(claim_queue, "LOOK_INTERVAL", 0)
        mailings = [make_mailing() for _ in range(10)]
        for mailing in mailings:
            add(2, mailing=mailing)
            Line.objects.lengthen(mailing.pk)
        rung(*mailings)
        scripted(20, ScriptedTransport.answer)
        assert deliver(mailings[0].pk) == 20
        assert not Doorbell.objects.exists()
        assert queued() == []

    def test_only_that_whose_lease_was_reclaimed_is_said_to_have_come_late(
        self,
        two: "list[Mailing]",
        scripted: Scripted,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        one, other = two

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            if len(transport.open) < 10:
                return []
            Lease.objects.filter(mailing=one).update(expires_at=timezone.now())
            recovery.reclaim_expired(now=timezone.now())
            return transport.answer()

        rung(one, other)
        scripted(10, script)
        assert deliver(one.pk) == 10
        late = [each for each in caplog.messages if "answers came after" in each]
        assert late == [f"Mailing {one.pk}: answers came after their lease had ended."]
        assert Message.objects.filter(status="success").count() == 10

    @pytest.mark.usefixtures("attentive")
    def test_one_that_is_paused_stops_and_the_others_go_on(
        self, two: "list[Mailing]", scripted: Scripted
    ) -> None:
        one, other = two
        rung(other)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            if transport.polls == 1:
                type(one).objects.filter(pk=one.pk).update(status="paused")
            return transport.answer()

        scripted(4, script)
        deliver(one.pk)
        assert sent() == {one.pk: 4, other.pk: 5}  # Four were open.
        assert Message.objects.filter(mailing=one, attempts=0, lease_until=None).count() == 1

    @pytest.mark.usefixtures("attentive")
    def test_of_one_that_is_edited_the_new_text_is_sent_and_the_others_go_on(
        self, two: "list[Mailing]", scripted: Scripted
    ) -> None:
        one, other = two
        rung(other)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            if transport.polls == 1:
                type(one).objects.filter(pk=one.pk).update(text="New", updated_at=timezone.now())
            return transport.answer()

        transport = scripted(4, script)
        assert deliver(one.pk) == 10
        texts = [request.text for request in transport.sent]
        assert (texts.count('"One"'), texts.count('"New"'), texts.count('"Two"')) == (4, 1, 5)
        assert sent() == {one.pk: 5, other.pk: 5}

    @pytest.mark.usefixtures("attentive")
    def test_it_goes_on_beyond_its_turn_while_nobody_waits(
        self, two: "list[Mailing]", scripted: Scripted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("messages_app.tests.scenes.is_wanted", lambda: False)
        monkeypatch.setattr(claim_queue, "CLAIM_TIME_BOX", 0)
        scripted(1, ScriptedTransport.answer)
        assert deliver(two[0].pk) == 5

    @pytest.mark.usefixtures("attentive")
    def test_it_does_not_go_on_for_ever(
        self, two: "list[Mailing]", scripted: Scripted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The tick waits in the broker, where nobody sees it."""
        monkeypatch.setattr("messages_app.tests.scenes.is_wanted", lambda: False)
        monkeypatch.setattr(claim_queue, "CLAIM_TIME_BOX", 0)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            monkeypatch.setattr(claim_queue, "LONG_TIME_BOX", 0)
            return transport.answer()

        scripted(1, script)
        assert deliver(two[0].pk) == 1

    def test_nobody_waits_for_a_minute_because_sending_was_paused(
        self, two: "list[Mailing]", scripted: Scripted, now: datetime
    ) -> None:
        rung(*two)
        control.change(is_paused=True)
        scripted(20, ScriptedTransport.answer)
        assert deliver(two[0].pk) == 0
        control.change(is_paused=False)
        assert set(preparing.mailings_to_ring_for(timezone.now())) == set(two)


class TestStarting:
    def test_those_that_wait_are_started_with_the_first(
        self, make_clients: MakeClients, make_mailing: MakeMailing, now: datetime
    ) -> None:
        make_clients(3, tag="new", timezone="Asia/Omsk")
        make_clients(2, tag="vip")
        mailings = [
            make_mailing(status="scheduled", filters={"tag": tag}) for tag in ("new", "vip", "none")
        ]
        planned = preparing.start_waiting(mailings[0].pk, now=now)
        assert planned == dict(zip([each.pk for each in mailings], (3, 2, 0), strict=True))
        for mailing in mailings:
            mailing.refresh_from_db()
            assert (mailing.status, mailing.last_run_time) == ("running", now)
            counts = by_status(balances_of([mailing])[mailing.pk])
            assert counts.get("pending", 0) == planned[mailing.pk]
            lines = Line.objects.filter(pk=mailing.pk, is_empty=False)
            assert lines.exists()
        assert set(Message.objects.values_list("mailing", "client__tag", "timezone")) == {
            (mailings[0].pk, "new", "Asia/Omsk"),
            (mailings[1].pk, "vip", "UTC"),
        }

    def test_one_alone_is_started_although_many_wait(
        self, make_mailing: MakeMailing, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(preparing, "STARTED_AT_ONCE", 2)
        mailings = [make_mailing(status="scheduled") for _ in range(4)]
        started = preparing.start_waiting(mailings[-1].pk, now=now)
        assert started.keys() == {mailings[-1].pk, mailings[0].pk}

    def test_a_large_one_is_left_to_be_planned_in_chunks(
        self,
        make_clients: MakeClients,
        make_mailing: MakeMailing,
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("messages_app.engine.planning.SMALL", 3)
        make_clients(3, tag="new")
        make_clients(1, tag="vip")
        small = make_mailing(status="scheduled", filters={"tag": "new"})
        large = make_mailing(status="scheduled")
        assert preparing.start_waiting(small.pk, now=now) == {small.pk: 3, large.pk: None}
        large.refresh_from_db()
        assert (large.status, large.last_run_time) == ("running", None)
        assert not preparing.plan_chunk(large.pk, now=now)
        assert large.messages.count() == 4

    def test_who_was_withdrawn_or_has_a_message_gets_no_other(
        self, make_clients: MakeClients, make_mailing: MakeMailing, now: datetime
    ) -> None:
        withdrawn, by_hand, third = make_clients(3)
        mailing = make_mailing(status="scheduled")
        Withdrawal.objects.create(mailing=mailing, client=withdrawn)
        Message.objects.create(
            mailing=mailing, client=by_hand, is_manual=True, next_attempt_at=now, queued_at=now
        )
        assert preparing.start_waiting(mailing.pk, now=now) == {mailing.pk: 1}
        messages = Message.objects.filter(mailing=mailing).values_list("client", "is_manual")
        assert sorted(messages) == [(by_hand.pk, True), (third.pk, False)]

    def test_tasks_are_queued_for_as_many_as_there_are_processes(
        self, make_clients: MakeClients, make_mailing: MakeMailing, now: datetime, queued: Queued
    ) -> None:
        make_clients(2)
        mailings = [make_mailing(status="scheduled") for _ in range(5)]
        doorbells.ring_planned(preparing.start_waiting(mailings[0].pk, now=now), now=now)
        assert [task for task, *_ in queued()] == ["send_message"] * 2
        assert Doorbell.objects.filter(is_answered=False).count() == 5

    def test_nothing_is_rung_for_while_there_is_no_broker(
        self,
        make_clients: MakeClients,
        make_mailing: MakeMailing,
        now: datetime,
        no_broker: None,
    ) -> None:
        make_clients(2)
        mailings = [make_mailing(status="scheduled") for _ in range(5)]
        doorbells.ring_planned(preparing.start_waiting(mailings[0].pk, now=now), now=now)
        assert not Doorbell.objects.exists()

    def test_a_lane_is_rung_for_each_hundred_messages(
        self, make_mailing: MakeMailing, now: datetime, settings: Settings
    ) -> None:
        settings.MESSAGE_SENDER_PROCESSES = 4
        planned = {make_mailing().pk: number for number in (0, 100, 101, 10_000)}
        doorbells.ring_planned(planned, now=now)
        lanes = [Doorbell.objects.filter(mailing=pk).count() for pk in planned]
        assert lanes == [0, 1, 2, 4]
