"""Doorbells ring once, are heard once, and cost nothing when nobody can hear them."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from celery import current_app
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from clients.models import Client
from mailings.tasks import send_message
from messages_app import sender
from messages_app.engine import claim_queue
from messages_app.engine.doorbells import ring
from messages_app.engine.leasing import lease_length
from messages_app.engine.records import Claimed
from messages_app.engine.spool import Spool
from messages_app.ledger.posting import packed
from messages_app.models import Doorbell, Heartbeat, Lease, LeasedBatch, Line, Message
from messages_app.sender import Answer
from messages_app.sending import control
from messages_app.tests.scenes import accept, claim_ids, open_books
from messages_app.tests.scripted import Scripted, ScriptedTransport, terminate_backend
from tests.sandbox import Sandbox
from toolkit.publishing import publish

if TYPE_CHECKING:
    from mailings.models import Mailing

pytestmark = pytest.mark.django_db

MakeClients = Callable[..., list[Client]]
MakeMailing = Callable[..., "Mailing"]
Queued = Callable[[], list[tuple[Any, ...]]]
AtOnce = Callable[..., list[Any]]

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _few_are_many(settings: Settings) -> None:
    """Have three messages be more than one sending process takes at once."""
    settings.MESSAGE_SENDER_CONCURRENCY = 2


@pytest.fixture
def mailing(make_mailing: MakeMailing, make_clients: MakeClients, now: datetime) -> "Mailing":
    """Return a running mailing with five due messages."""
    mailing = make_mailing()
    Message.objects.bulk_create(
        Message(mailing=mailing, client=client, next_attempt_at=now - HOUR)
        for client in make_clients(5)
    )
    Line.objects.lengthen(mailing.pk)
    return mailing


def lanes() -> list[int]:
    """Return the lanes that have a doorbell."""
    return sorted(Doorbell.objects.values_list("lane", flat=True))


def test_the_task_has_the_name_and_the_queue_that_others_depend_on() -> None:
    assert send_message.name == "send_message"
    assert current_app.amqp.router.route({}, "send_message")["queue"].name == "messages"
    for name in ("start_mailing", "finish_mailing"):
        assert current_app.amqp.router.route({}, name)["queue"].name == "mailings"


class TestSendMessage:
    def test_it_sends_and_is_silent_when_all_is_sent(
        self, mailing: "Mailing", sender: Sandbox, queued: Queued
    ) -> None:
        ring(mailing.pk)
        queued()
        send_message(mailing.pk, 0)
        assert sender.stats()["unique"] == 5
        assert Message.objects.filter(status="success").count() == 5
        assert (queued(), lanes()) == ([], [])

    def test_it_rings_its_own_lane_again_when_more_is_due(
        self,
        mailing: "Mailing",
        scripted: Scripted,
        queued: Queued,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            monkeypatch.setattr(claim_queue, "LONG_TIME_BOX", 0)
            return transport.answer()

        monkeypatch.setattr(claim_queue, "LOOK_INTERVAL", 0)
        transport = scripted(2, script)
        monkeypatch.setattr(claim_queue, "CLAIM_TIME_BOX", 0)
        for sent in (2, 4):
            monkeypatch.setattr(claim_queue, "LONG_TIME_BOX", 60)
            send_message(mailing.pk, 1)
            assert len(transport.sent) == sent
            assert (queued(), lanes()) == ([("send_message", mailing.pk, 1)], [1])
        monkeypatch.setattr(claim_queue, "LONG_TIME_BOX", 60)
        send_message(mailing.pk, 1)
        assert (queued(), lanes()) == ([], [])
        assert Message.objects.filter(status="success").count() == 5

    def test_in_a_worker_that_is_to_end_it_sends_nothing_and_rings_for_another(
        self,
        mailing: "Mailing",
        sender: Sandbox,
        queued: Queued,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        ring(mailing.pk)
        queued()
        monkeypatch.setattr("toolkit.shutdown.is_requested", lambda: True)
        send_message(mailing.pk, 0)
        assert (sender.sends(), lanes()) == (0, [0, 1])
        assert queued() == [("send_message", mailing.pk, 0)]

    @pytest.mark.parametrize("status", ["paused", "cancelled"])
    def test_it_does_not_ring_for_what_does_not_run(
        self, mailing: "Mailing", sender: Sandbox, queued: Queued, status: str
    ) -> None:
        ring(mailing.pk)
        queued()
        type(mailing).objects.update(status=status)
        send_message(mailing.pk, 0)
        assert (sender.sends(), queued(), lanes()) == (0, [], [])

    def test_it_does_not_ring_for_what_is_due_later(
        self,
        mailing: "Mailing",
        sender: Sandbox,
        queued: Queued,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("random.uniform", lambda _, longest: longest)
        sender.set_faults(server_error=1)
        send_message(mailing.pk, 0)
        assert Message.objects.filter(status="fail").count() == 5
        assert (queued(), lanes()) == ([], [])

    def test_where_the_sender_refuses_us_it_is_silent_until_the_sender_is_to_be_tried(
        self,
        mailing: "Mailing",
        scripted: Scripted,
        queued: Queued,
        now: datetime,
    ) -> None:
        transport = scripted(1, lambda each: each.answer(status=401))
        send_message(mailing.pk, 0)
        assert len(transport.sent) == 1
        assert Message.objects.due(timezone.now()).count() == 5
        assert (queued(), lanes()) == ([], [])
        send_message()
        assert queued() == []
        control.probe_now(now=now)
        send_message()
        assert len(queued()) == 2

    def test_it_leaves_a_sign_of_life(
        self, mailing: "Mailing", scripted: Scripted, queued: Queued, now: datetime
    ) -> None:
        scripted(1, ScriptedTransport.answer)
        send_message(mailing.pk, 0)
        assert Heartbeat.objects.get(name="send_message").at >= now

    @pytest.mark.postgres  # SQLite has no server to lose
    @pytest.mark.django_db(transaction=True)
    def test_a_database_that_goes_away_costs_one_line_in_the_log(
        self,
        mailing: "Mailing",
        scripted: Scripted,
        queued: Queued,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            if transport.polls == 1:
                terminate_backend()
            return transport.answer()

        scripted(5, script)
        send_message(mailing.pk, 0)
        connection.close()
        (line,) = (each for each in caplog.records if each.levelno >= logging.WARNING)
        assert line.getMessage().startswith(
            "Sending waits for the database, which does not answer: "
        )
        assert (line.levelno, line.exc_info) == (logging.ERROR, None)
        send_message()
        assert Message.objects.filter(status="success").count() == 5
        assert queued() == []

    @pytest.mark.django_db(transaction=True)
    def test_a_mailing_deleted_meanwhile_is_nobodys_error(
        self, sender: Sandbox, queued: Queued
    ) -> None:
        send_message(10**9, 0)
        assert queued() == []

    def test_without_a_token_it_fails_and_the_bell_stays_so_that_none_pile_up(
        self, mailing: "Mailing", queued: Queued, settings: Settings
    ) -> None:
        settings.MESSAGE_SENDER_TOKEN = ""
        sender.transport.cache_clear()
        ring(mailing.pk)
        queued()
        with pytest.raises(ImproperlyConfigured):
            send_message(mailing.pk, 0)
        ring(mailing.pk)
        assert queued() == []
        assert Message.objects.filter(attempts=0, lease_token=None).count() == 5


class TestRing:
    @pytest.mark.parametrize(
        ("due", "rung"), [(0, []), (1, [0]), (2, [0]), (3, [0, 1]), (9, [0, 1])]
    )
    def test_as_many_processes_are_rung_for_as_there_is_work_for(
        self,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
        due: int,
        rung: list[int],
    ) -> None:
        mailing = make_mailing()
        Message.objects.bulk_create(
            Message(mailing=mailing, client=client, next_attempt_at=now - HOUR)
            for client in make_clients(due)
        )
        ring(mailing.pk)
        assert lanes() == rung

    @pytest.mark.parametrize(("due", "rung"), [(100, [0]), (101, [0, 1])])
    def test_a_hundred_are_enough_for_one_where_no_number_is_set(
        self,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
        settings: Settings,
        due: int,
        rung: list[int],
    ) -> None:
        settings.MESSAGE_SENDER_CONCURRENCY = None
        mailing = make_mailing()
        Message.objects.bulk_create(
            Message(mailing=mailing, client=client, next_attempt_at=now - HOUR)
            for client in make_clients(due)
        )
        ring(mailing.pk)
        assert lanes() == rung

    def test_ten_rings_queue_one_task_a_process(
        self, mailing: "Mailing", queued: Queued, settings: Settings
    ) -> None:
        settings.MESSAGE_SENDER_PROCESSES = 3
        for _ in range(10):
            ring(mailing.pk)
        assert queued() == [("send_message", mailing.pk, lane) for lane in (0, 1, 2)]

    @pytest.mark.django_db(transaction=True)
    def test_ten_rings_at_once_queue_one_task_a_process(
        self, mailing: "Mailing", queued: Queued, at_once: AtOnce
    ) -> None:
        at_once(*[partial(ring, mailing.pk)] * 10)
        assert sorted(queued()) == [("send_message", mailing.pk, lane) for lane in (0, 1)]

    @pytest.mark.usefixtures("own_clock")
    def test_a_lost_doorbell_is_rung_again_after_its_life(
        self, mailing: "Mailing", queued: Queued
    ) -> None:
        now = timezone.now()
        for later, tasks in ((0, 2), (59, 0), (60, 2), (61, 0)):
            with time_machine.travel(now + timedelta(seconds=later), tick=False):
                ring(mailing.pk)
            assert len(queued()) == tasks

    def test_a_queued_task_outlives_its_doorbell_but_not_by_much(
        self, mailing: "Mailing", monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lives = []

        def note(name: str, args: object, expires: float) -> None:
            lives.append((name, expires))

        monkeypatch.setattr(current_app, "send_task", note)
        ring(mailing.pk)
        assert lives == [("send_message", 300)] * 2
        assert timedelta(seconds=300) > lease_length()

    def test_nobody_is_rung_for_while_sending_is_blocked(
        self, mailing: "Mailing", queued: Queued
    ) -> None:
        control.change(is_paused=True)
        ring(mailing.pk)
        assert (queued(), lanes()) == ([], [])
        control.change(is_paused=False)
        ring(mailing.pk)
        assert len(queued()) == 2

    def test_nothing_due_is_nothing_to_ring_for(
        self, mailing: "Mailing", queued: Queued, now: datetime
    ) -> None:
        Message.objects.update(next_attempt_at=now + HOUR)
        ring(mailing.pk)
        assert (queued(), lanes()) == ([], [])


def hold_all(*, until: datetime) -> None:
    """Have a delivery hold all messages."""
    Message.objects.update(lease_token=-7, lease_until=until, attempts=1)
    ids = packed(list(Message.objects.values_list("pk", flat=True)))
    LeasedBatch.objects.create(token=-7, message_ids=ids)


class TestTick:
    """Without a mailing's id the task looks for what nobody has rung for."""

    @pytest.mark.parametrize("is_known_to_be_empty", [True, False])
    def test_it_finds_what_the_line_has_passed_and_nobody_took(
        self,
        mailing: "Mailing",
        queued: Queued,
        now: datetime,
        caplog: pytest.LogCaptureFixture,
        is_known_to_be_empty: bool,
    ) -> None:
        """Somebody else had two messages locked when they were claimed."""
        mailing_type = type(mailing)
        mailing_type.objects.update(ledger_at=now, last_run_time=now)
        open_books()
        claimed = claim_ids(mailing, now, limit=3)
        accept(claimed, at=now)
        Lease.objects.all().delete()
        last = Client.objects.latest("pk").pk
        Line.objects.update(passed=last, is_empty=is_known_to_be_empty)
        send_message()
        assert Message.objects.queued().count() == 2
        assert [task for task, *_ in queued()] == ["send_message"]
        assert "2 messages were passed over" in caplog.text
        caplog.clear()
        send_message()
        assert not caplog.text

    def test_it_rings_for_what_is_due_and_silent(
        self, mailing: "Mailing", make_mailing: MakeMailing, queued: Queued
    ) -> None:
        make_mailing()  # nothing is due
        send_message()
        assert sorted(queued()) == [("send_message", mailing.pk, lane) for lane in (0, 1)]
        send_message()
        assert queued() == []

    def test_one_live_bell_is_enough(self, mailing: "Mailing", queued: Queued) -> None:
        ring(mailing.pk)
        Doorbell.objects.filter(lane=0).delete()
        queued()
        send_message()
        assert queued() == []

    @pytest.mark.parametrize("status", ["scheduled", "paused", "finished", "cancelled"])
    def test_it_does_not_ring_for_a_mailing_that_does_not_run(
        self, mailing: "Mailing", queued: Queued, status: str
    ) -> None:
        type(mailing).objects.update(status=status)
        send_message()
        assert queued() == []

    def test_it_does_not_ring_while_sending_is_blocked(
        self, mailing: "Mailing", queued: Queued
    ) -> None:
        control.change(is_paused=True)
        send_message()
        assert (queued(), lanes()) == ([], [])

    @pytest.mark.parametrize("is_paused", [False, True])
    def test_what_a_dead_worker_held_is_free_and_rung_for(
        self, mailing: "Mailing", queued: Queued, now: datetime, is_paused: bool
    ) -> None:
        control.change(is_paused=is_paused)
        Lease.objects.create(token=-7, mailing=mailing, expires_at=now)
        hold_all(until=now)
        send_message()
        assert not Message.objects.leased().exists()
        assert Message.objects.due(timezone.now()).count() == 5
        assert len(queued()) == (0 if is_paused else 2)

    def test_what_a_killed_delivery_of_this_machine_noted_down_is_written(
        self, mailing: "Mailing", queued: Queued, now: datetime
    ) -> None:
        Lease.objects.create(token=-7, mailing=mailing, expires_at=now + HOUR)
        hold_all(until=now + HOUR)
        ids = list(Message.objects.values_list("pk", flat=True))
        spool = Spool(-7, mailing.pk)
        spool.begin([Claimed(pk, "", 1, "", 1) for pk in ids[:2]])
        spool.answer(ids[:2], [], now)
        spool.keep()
        send_message()
        assert Message.objects.count_by_status() == {"success": 2, "pending": 3}
        assert len(queued()) == 2

    def test_it_leaves_a_sign_of_life(self, queued: Queued, now: datetime) -> None:
        send_message()
        assert Heartbeat.objects.get(name="send_message").at >= now


class TestNoBroker:
    @pytest.mark.usefixtures("no_broker")
    def test_it_costs_a_ring_one_line_in_the_log(
        self, mailing: "Mailing", caplog: pytest.LogCaptureFixture
    ) -> None:
        ring(mailing.pk)
        (line,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
        assert line.getMessage().startswith(
            f"send_message({mailing.pk}, 0) waits for the next tick: no broker"
        )
        assert not line.exc_info

    @pytest.mark.usefixtures("no_broker")
    def test_a_bell_that_nobody_heard_is_rung_again_at_the_next_tick(
        self, mailing: "Mailing", queued: Queued, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ring(mailing.pk)
        assert (queued(), lanes()) == ([], [])
        monkeypatch.undo()
        ring(mailing.pk)
        assert len(queued()) == 2

    @pytest.mark.usefixtures("no_broker")
    def test_the_caller_learns_that_it_was_not_queued(self, mailing: "Mailing") -> None:
        assert publish("send_message", mailing.pk, 0) is False

    def test_the_caller_learns_that_it_was_queued(self, mailing: "Mailing", queued: Queued) -> None:
        assert publish("send_message", mailing.pk, 0) is True
        assert queued() == [("send_message", mailing.pk, 0)]
