"""The pump takes due messages through the sender, and writes down what came of each."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from clients.models import Client
from messages_app import delivery, sender
from messages_app.delivery import (
    HALT_DELAY,
    LEASE,
    LEASE_MARGIN,
    MAX_RETRY_AFTER,
    HaltedError,
    deliver,
)
from messages_app.models import Message
from messages_app.sender import Answer, Request
from tests.sandbox import TOKEN, Sandbox, running_sandbox
from tests.servers import free_port

if TYPE_CHECKING:
    from mailings.models import Mailing

pytestmark = pytest.mark.django_db

MakeClients = Callable[..., list[Client]]
MakeMailing = Callable[..., "Mailing"]

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
BACKENDS = ("curl.CurlTransport", "threads.RequestsTransport")


@pytest.fixture
def mailing(make_mailing: MakeMailing) -> "Mailing":
    return make_mailing()


@pytest.fixture
def add(mailing: "Mailing", make_clients: MakeClients, now: datetime) -> "Add":
    """Return a function that gives the mailing so many due messages."""

    def add(number: int, **fields: Any) -> list[Message]:
        defaults = {"mailing": mailing, "next_attempt_at": now - HOUR}
        return Message.objects.bulk_create(
            Message(client=client, **{**defaults, **fields}) for client in make_clients(number)
        )

    return add


Add = Callable[..., list[Message]]


def untouched() -> int:
    """Count the messages that are as good as never claimed."""
    return Message.objects.filter(
        status="pending",
        attempts=0,
        lease_token=None,
        lease_until=None,
        error_code="",
        sent_at=None,
    ).count()


def succeeded() -> int:
    return Message.objects.filter(status="success").count()


class TestSending:
    @pytest.mark.parametrize("backend", BACKENDS)
    def test_each_client_gets_the_text_under_the_messages_id(
        self, make_mailing: MakeMailing, add: Add, sender: Sandbox, settings: Settings, backend: str
    ) -> None:
        settings.MESSAGE_SENDER_BACKEND = f"messages_app.sender.{backend}"
        text = 'Привет, мир 👋🏽!\n"Quotes" \\ and \t<b>tags</b> {%} \u2028'
        mailing = make_mailing(text=text)
        messages = add(30, mailing=mailing)
        assert deliver(mailing.pk) == 30
        assert {each["text"] for each in sender.inbox()} == {text}
        assert {each["id"]: str(each["phone"]) for each in sender.inbox()} == {
            message.pk: message.client.phone_number for message in messages if message.client
        }
        assert sender.journal().accepted == {message.pk: 1 for message in messages}

    def test_what_was_sent_is_written_down(
        self, mailing: "Mailing", add: Add, sender: Sandbox
    ) -> None:
        (message,) = add(1, status="fail", attempts=2, error_code="throttled", error="Too fast.")
        began_at = timezone.now()
        deliver(mailing.pk)
        message.refresh_from_db()
        assert (message.status, message.attempts, message.next_attempt_at) == ("success", 3, None)
        assert (message.error_code, message.error, message.lease_token) == ("", "", None)
        assert message.sent_at
        assert began_at <= message.sent_at <= timezone.now()
        assert message.client
        assert message.phone_number == message.client.phone_number

    def test_a_very_long_text_arrives(
        self, make_mailing: MakeMailing, add: Add, sender: Sandbox
    ) -> None:
        mailing = make_mailing(text="ы" * 100_000)
        add(20, mailing=mailing)
        deliver(mailing.pk)
        assert succeeded() == sender.stats()["unique"] == 20
        assert sender.inbox()[0]["text"] == "ы" * 160

    def test_nothing_due_is_nothing_to_do(
        self, mailing: "Mailing", add: Add, sender: Sandbox, now: datetime
    ) -> None:
        add(1, next_attempt_at=now + HOUR)
        add(1, next_attempt_at=None, status="fail")
        assert deliver(mailing.pk) == 0
        assert sender.sends() == 0

    @pytest.mark.parametrize("status", ["scheduled", "paused", "finished", "cancelled"])
    def test_nothing_is_sent_for_a_mailing_that_does_not_run(
        self, mailing: "Mailing", add: Add, sender: Sandbox, status: str
    ) -> None:
        add(3)
        type(mailing).objects.update(status=status)
        assert deliver(mailing.pk) == 0
        assert (sender.sends(), untouched()) == (0, 3)

    def test_nothing_is_sent_for_a_mailing_that_is_over(
        self, mailing: "Mailing", add: Add, sender: Sandbox, now: datetime
    ) -> None:
        add(3)
        type(mailing).objects.update(stop_time=now)
        assert deliver(mailing.pk) == 0
        assert (sender.sends(), untouched()) == (0, 3)

    def test_a_client_that_does_not_match_is_not_sent_to(
        self, make_mailing: MakeMailing, add: Add, sender: Sandbox, make_clients: MakeClients
    ) -> None:
        mailing = make_mailing(filters={"tag": "vip"})
        add(2, mailing=mailing)
        add(1, mailing=mailing, is_manual=True)
        assert deliver(mailing.pk) == 1
        assert (sender.sends(), untouched(), succeeded()) == (1, 2, 1)

    def test_without_a_token_nothing_is_sent_and_the_error_says_what_to_do(
        self, mailing: "Mailing", add: Add, settings: Settings
    ) -> None:
        settings.MESSAGE_SENDER_TOKEN = ""
        sender.transport.cache_clear()
        add(3)
        with pytest.raises(ImproperlyConfigured, match=r"MESSAGE_SENDER_TOKEN.*make run"):
            deliver(mailing.pk)
        assert untouched() == 3


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox"), "--no-deduplicate") as sandbox:
        yield sandbox


class TestOutcomes:
    @pytest.fixture(params=BACKENDS)
    def sandbox(
        self,
        request: pytest.FixtureRequest,
        shared: Sandbox,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Iterator[Sandbox]:
        """Have the engine send to the shared sandbox, with little patience."""
        for module in ("curl", "threads"):
            monkeypatch.setattr(f"messages_app.sender.{module}.REQUEST_TIMEOUT", 1)
        settings.MESSAGE_SENDER_BACKEND = f"messages_app.sender.{request.param}"
        settings.MESSAGE_SENDER_URL = shared.api_url
        settings.MESSAGE_SENDER_TOKEN = TOKEN
        settings.MAILING_REPEAT_TIMEOUT = timedelta(seconds=500)
        sender.transport.cache_clear()
        yield shared
        shared.set_faults()
        sender.transport.cache_clear()

    @pytest.mark.parametrize(
        ("faults", "status", "error_code", "wait"),
        [
            ({"bad_request": 1}, "fail", "rejected", None),
            ({"throttled": 1, "retry_after": 77}, "fail", "throttled", 77),
            ({"throttled": 1, "retry_after": 0}, "fail", "throttled", 500),
            ({"unavailable": 1}, "fail", "unavailable", 500),
            ({"unavailable": 1, "unavailable_retry_after": 33}, "fail", "unavailable", 33),
            ({"server_error": 1}, "fail", "bad_response", 500),
            ({"wrong_code": 1}, "fail", "bad_response", 500),
            ({"garbage": 1}, "fail", "bad_response", 500),
            ({"reset_before": 1}, "fail", "unconfirmed", 500),
            ({"reset_after": 1}, "fail", "unconfirmed", 500),
            ({"hang": 1}, "fail", "unconfirmed", 500),
            ({"hang_after": 1}, "fail", "unconfirmed", 500),
            ({"outage": True}, "fail", "unavailable", 500),
        ],
        ids=lambda value: next(iter(value), None) if isinstance(value, dict) else None,
    )
    def test_what_the_sender_does_decides_what_is_written(
        self,
        mailing: "Mailing",
        add: Add,
        sandbox: Sandbox,
        faults: dict[str, object],
        status: str,
        error_code: str,
        wait: int | None,
    ) -> None:
        messages = add(3)
        sandbox.set_faults(**faults)
        began_at = timezone.now()
        assert deliver(mailing.pk) == 3
        ended_at = timezone.now()
        for message in messages:
            message.refresh_from_db()
            assert (message.status, message.error_code) == (status, error_code)
            assert (message.attempts, message.sent_at) == (1, None)
            assert (message.lease_token, message.lease_until) == (None, None)
            assert 10 < len(message.error) <= 255
            if wait is None:
                assert message.next_attempt_at is None
            else:
                pause = timedelta(seconds=wait)
                assert message.next_attempt_at
                assert began_at + pause <= message.next_attempt_at <= ended_at + pause

    def test_a_failed_message_is_sent_again_when_its_time_has_come(
        self, mailing: "Mailing", add: Add, sandbox: Sandbox
    ) -> None:
        (message,) = add(1)
        sandbox.set_faults(throttled=1, retry_after=77)
        deliver(mailing.pk)
        sandbox.set_faults()
        assert deliver(mailing.pk) == 0
        message.refresh_from_db()
        assert message.next_attempt_at
        with time_machine.travel(message.next_attempt_at - SECOND):
            assert deliver(mailing.pk) == 0
        with time_machine.travel(message.next_attempt_at):
            assert deliver(mailing.pk) == 1
        message.refresh_from_db()
        assert (message.status, message.attempts, message.error_code) == ("success", 2, "")

    def test_a_rejected_message_is_never_sent_again(
        self, mailing: "Mailing", add: Add, sandbox: Sandbox
    ) -> None:
        add(1)
        sandbox.set_faults(bad_request=1)
        deliver(mailing.pk)
        sandbox.set_faults()
        type(mailing).objects.update(stop_time=mailing.stop_time + timedelta(days=365))
        with time_machine.travel(timezone.now() + timedelta(days=300)):
            assert deliver(mailing.pk) == 0

    def test_one_bad_answer_does_not_touch_the_others(
        self, mailing: "Mailing", add: Add, sandbox: Sandbox
    ) -> None:
        add(60)
        sandbox.set_faults(bad_request=0.3, server_error=0.2, reset_after=0.2, seed=3)
        assert deliver(mailing.pk) == 60
        codes = list(Message.objects.values_list("error_code", flat=True))
        assert set(codes) == {"", "rejected", "bad_response", "unconfirmed"}
        assert codes.count("") == succeeded() < 40


class ScriptedTransport:
    """Answers what and when the test says; `poll` is where time passes."""

    def __init__(self, concurrency: int, script: "Script") -> None:
        self.concurrency = concurrency
        self.script = script
        self.open: list[Request] = []
        self.sent: list[Request] = []
        self.polls = 0

    @property
    def free(self) -> int:
        return self.concurrency - len(self.open)

    @property
    def is_idle(self) -> bool:
        return not self.open

    def submit(self, request: Request) -> None:
        assert self.free
        self.open.append(request)
        self.sent.append(request)

    def poll(self, timeout: float) -> Sequence[Answer]:
        self.polls += 1
        return self.script(self)

    def answer(self, number: int = 1000, **fields: Any) -> list[Answer]:
        """Answer the requests that were opened first; accept them unless told otherwise."""
        answered, self.open = self.open[:number], self.open[number:]
        fields = fields or {"status": 200, "body": b'{"code": 0, "message": "OK"}'}
        return [Answer(request.id, **fields) for request in answered]


Script = Callable[[ScriptedTransport], Sequence[Answer]]
Scripted = Callable[[int, Script], ScriptedTransport]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Scripted:
    """Return a function that puts a scripted transport of so many open requests in place."""

    def install(concurrency: int, script: Script) -> ScriptedTransport:
        transport = ScriptedTransport(concurrency, script)
        settings.MESSAGE_SENDER_CONCURRENCY = concurrency
        monkeypatch.setattr(sender, "transport", lambda: transport)
        return transport

    return install


class TestPumping:
    def test_the_next_batch_is_claimed_while_the_last_is_in_flight(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        add(9)
        claimed_ahead = []

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            leased = Message.objects.exclude(lease_token=None).count()
            claimed_ahead.append(leased - len(transport.open))
            return transport.answer() if transport.polls > 1 else []

        scripted(3, script)
        assert deliver(mailing.pk) == succeeded() == 9
        assert claimed_ahead[:2] == [0, 3]

    def test_answers_are_written_while_others_are_awaited(
        self, mailing: "Mailing", add: Add, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delivery, "RECORD_SIZE", 2)
        add(5)
        written = []

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            written.append(succeeded())
            return transport.answer(1)

        scripted(5, script)
        deliver(mailing.pk)
        assert written == [0, 0, 2, 2, 4]
        assert succeeded() == 5

    def test_an_answer_does_not_wait_long_for_company(
        self, mailing: "Mailing", add: Add, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delivery, "RECORD_DELAY", 0)
        add(3)
        written = []

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            written.append(succeeded())
            return transport.answer(1)

        scripted(3, script)
        deliver(mailing.pk)
        assert written == [0, 1, 2]

    @pytest.mark.django_db(transaction=True)
    def test_no_transaction_is_open_while_the_sender_is_awaited(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        add(4)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            assert not connection.in_atomic_block
            return transport.answer(1)

        scripted(2, script)
        assert deliver(mailing.pk) == succeeded() == 4

    def test_other_mailings_have_their_turn_after_a_while(
        self, mailing: "Mailing", add: Add, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delivery, "TIME_BOX", 0)
        add(10)
        scripted(4, ScriptedTransport.answer)
        assert deliver(mailing.pk) == succeeded() == 4
        assert untouched() == 6

    def test_a_pause_stops_claiming_and_what_is_claimed_arrives(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        add(10)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            type(mailing).objects.update(status="paused", updated_at=timezone.now())
            return transport.answer()

        scripted(4, script)
        assert deliver(mailing.pk) == succeeded() == 4
        assert untouched() == 6

    def test_the_text_is_that_of_the_moment_of_the_claim(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        add(6)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            type(mailing).objects.update(text="Bye", updated_at=timezone.now())
            return transport.answer()

        transport = scripted(3, script)
        deliver(mailing.pk)
        texts = [json.loads(request.text) for request in transport.sent]
        assert texts == ["Hello"] * 3 + ["Bye"] * 3

    def test_nothing_is_begun_after_the_stop_time(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        add(6)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            if transport.polls == 1:
                return []  # The next three are claimed now.
            clock.move_to(mailing.stop_time)
            return transport.answer()

        transport = scripted(3, script)
        with time_machine.travel(mailing.stop_time - SECOND, tick=False) as clock:
            assert deliver(mailing.pk) == 3
        assert len(transport.sent) == succeeded() == untouched() == 3

    def test_nothing_is_begun_that_its_lease_would_not_cover(
        self, mailing: "Mailing", add: Add, scripted: Scripted, now: datetime
    ) -> None:
        add(6)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            if transport.polls == 1:
                return []
            if transport.polls == 2:
                clock.move_to(now + LEASE - LEASE_MARGIN)
            return transport.answer()

        transport = scripted(3, script)
        with time_machine.travel(now, tick=False) as clock:
            assert deliver(mailing.pk) == 3
        assert len(transport.sent) == succeeded() == untouched() == 3
        assert Message.objects.due(now).count() == 3

    def test_an_answer_for_another_deliverys_message_is_not_written(
        self,
        mailing: "Mailing",
        add: Add,
        scripted: Scripted,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        messages = add(3)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            Message.objects.filter(pk=messages[0].pk).update(lease_token=1)
            return transport.answer()

        scripted(3, script)
        assert deliver(mailing.pk) == 3
        messages[0].refresh_from_db()
        assert (messages[0].status, messages[0].lease_token, succeeded()) == ("pending", 1, 2)
        (line,) = caplog.records
        assert line.getMessage() == (
            f"Mailing {mailing.pk}: 1 answers came after their lease had ended."
        )

    def test_a_delivery_that_broke_down_leaves_nothing_to_the_next(
        self, mailing: "Mailing", make_mailing: MakeMailing, add: Add, scripted: Scripted
    ) -> None:
        lost, other = add(2), make_mailing()
        add(3, mailing=other)

        def break_down(transport: ScriptedTransport) -> Sequence[Answer]:
            raise KeyboardInterrupt

        transport = scripted(4, break_down)
        with pytest.raises(KeyboardInterrupt):
            deliver(mailing.pk)
        transport.script = ScriptedTransport.answer
        deliver(other.pk)
        assert succeeded() == 3
        for message in lost:
            message.refresh_from_db()
            assert (message.status, message.attempts, message.sent_at) == ("pending", 1, None)
        with time_machine.travel(timezone.now() + LEASE):
            deliver(mailing.pk)
        assert succeeded() == 5
        assert [request.id for request in transport.sent].count(lost[0].pk) == 2

    def test_no_sender_keeps_a_message_for_longer_than_a_day(
        self, mailing: "Mailing", add: Add, scripted: Scripted, now: datetime
    ) -> None:
        (message,) = add(1)
        scripted(1, lambda transport: transport.answer(status=429, retry_after=2**62))
        with time_machine.travel(now, tick=False):
            deliver(mailing.pk)
        message.refresh_from_db()
        assert message.next_attempt_at == now + timedelta(seconds=MAX_RETRY_AFTER)

    def test_a_reason_longer_than_its_column_is_cut(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        (message,) = add(1)
        failure = sender.Failure.NOT_CONNECTED
        scripted(1, lambda transport: transport.answer(failure=failure, detail="👋\x00" * 500))
        deliver(mailing.pk)
        message.refresh_from_db()
        assert len(message.error) == 255


class TestHalting:
    @pytest.mark.parametrize("number", [1, 3, 5, 20])
    def test_a_wrong_token_stops_sending_and_costs_no_other_message_an_attempt(
        self,
        mailing: "Mailing",
        add: Add,
        scripted: Scripted,
        now: datetime,
        caplog: pytest.LogCaptureFixture,
        number: int,
    ) -> None:
        add(number)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            return transport.answer(status=401) if transport.polls > 1 else []

        transport = scripted(3, script)
        with time_machine.travel(now, tick=False), pytest.raises(HaltedError):
            deliver(mailing.pk)
        asked = min(number, 3)
        assert len(transport.sent) == asked
        assert untouched() == number - asked
        halted = Message.objects.filter(error_code="unauthorized")
        assert set(halted.values_list("status", "next_attempt_at", "attempts")) == {
            ("pending", now + HALT_DELAY, 1)
        }
        assert Message.objects.due(now).count() == number - asked
        (line,) = caplog.records
        assert line.levelno == logging.ERROR
        assert "MESSAGE_SENDER_TOKEN" in line.getMessage()

    def test_nothing_claimed_is_sent_once_the_time_box_has_ended(
        self,
        mailing: "Mailing",
        add: Add,
        scripted: Scripted,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        add(20)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            if transport.polls < 3:
                monkeypatch.setattr(delivery, "TIME_BOX", 0)
                return []
            return transport.answer(1, status=401)

        transport = scripted(3, script)
        with pytest.raises(HaltedError):
            deliver(mailing.pk)
        assert len(transport.sent) == 3
        assert untouched() == 17

    def test_sending_goes_on_with_the_right_token(
        self, mailing: "Mailing", add: Add, sender: Sandbox, settings: Settings
    ) -> None:
        settings.MESSAGE_SENDER_CONCURRENCY = 2
        add(5)
        sender.set_faults(token_revoked=True)
        with pytest.raises(HaltedError):
            deliver(mailing.pk)
        assert sender.stats()["statuses"]["401"] <= 4
        sender.set_faults()
        with time_machine.travel(timezone.now() + HALT_DELAY):
            deliver(mailing.pk)
        assert succeeded() == sender.stats()["unique"] == 5


def test_a_sender_that_is_not_there_leaves_messages_to_be_tried_again(
    mailing: "Mailing", add: Add, sender: Sandbox, settings: Settings
) -> None:
    settings.MESSAGE_SENDER_URL = f"http://127.0.0.1:{free_port()}/v1"
    add(3)
    assert deliver(mailing.pk) == 3
    later = Message.objects.filter(error_code="unavailable", next_attempt_at__gt=timezone.now())
    assert later.count() == 3
