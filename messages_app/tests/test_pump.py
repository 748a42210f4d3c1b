"""The pump takes due messages through the sender, and writes down what came of each."""

import json
import socket
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django import Settings

from mailings.services import edit_mailing
from messages_app import sender
from messages_app.engine import claim_queue, claiming, pump, recovery
from messages_app.engine.leasing import LEASE, LEASE_MARGIN
from messages_app.models import Attempt, Lease, Message
from messages_app.sender import Answer, Failure
from messages_app.sending import control
from messages_app.tests.scenes import claim, deliver, untouched
from messages_app.tests.scripted import Scripted, ScriptedTransport, terminate_backend
from tests.sandbox import Sandbox

if TYPE_CHECKING:
    from mailings.models import Mailing

pytestmark = pytest.mark.django_db

Add = Callable[..., list[Message]]
AtOnce = Callable[..., list[int]]
MakeMailing = Callable[..., "Mailing"]

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
BACKENDS = ("curl.CurlTransport", "threads.RequestsTransport")


def say(word: str, mailing: "Mailing") -> None:
    """Do what an operator does, or a copy for its original ("hold back").

    "end" is what a worker is told, and no business of the database.
    """
    now = timezone.now()
    changes: dict[str, dict[str, Any]] = {
        "pause": {"status": "paused"},
        "cancel": {"status": "cancelled"},
        "stop": {"stop_time": now},
    }
    if word == "pause all":
        control.change(is_paused=True)
    elif word == "hold back":
        control.change(held_until=now + HOUR)
    elif word == "delete":
        mailing.delete()
    elif word in changes:
        type(mailing).objects.update(updated_at=now, **changes[word])


def succeeded() -> int:
    return Message.objects.filter(status="success").count()


class TestSending:
    @pytest.mark.parametrize("backend", BACKENDS)
    def test_each_client_gets_the_text_under_the_messages_sender_id(
        self, make_mailing: MakeMailing, add: Add, sender: Sandbox, settings: Settings, backend: str
    ) -> None:
        settings.MESSAGE_SENDER_BACKEND = f"messages_app.sender.{backend}"
        text = 'Привет, мир 👋🏽!\n"Quotes" \\ and \t<b>tags</b> {%} \u2028'
        mailing = make_mailing(text=text)
        add(30, mailing=mailing)
        assert deliver(mailing.pk) == 30
        messages = list(Message.objects.select_related("mailing", "client"))
        assert {each["text"] for each in sender.inbox()} == {text}
        assert {each["id"]: str(each["phone"]) for each in sender.inbox()} == {
            message.sender_id: message.client.phone_number for message in messages if message.client
        }
        assert sender.journal().accepted == {message.sender_id: 1 for message in messages}

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
        self, make_mailing: MakeMailing, add: Add, sender: Sandbox
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

    def test_the_sender_has_something_to_do_while_answers_are_written(
        self, mailing: "Mailing", add: Add, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pump, "RECORD_SIZE", 2)
        monkeypatch.setattr(pump, "RECORD_DELAY", 60)
        add(6)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            return [] if transport.polls % 2 else transport.answer()

        transport = scripted(2, script)
        busy = []

        def watch(execute: Any, sql: str, *args: Any) -> Any:
            if "SET status = 'success'" in sql:
                busy.append(len(transport.open))
            return execute(sql, *args)

        with connection.execute_wrapper(watch):
            assert deliver(mailing.pk) == 6
        assert busy[0] == 2

    def test_answers_are_written_while_others_are_awaited(
        self, mailing: "Mailing", add: Add, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pump, "RECORD_SIZE", 2)
        monkeypatch.setattr(pump, "RECORD_DELAY", 60)
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
        monkeypatch.setattr(pump, "RECORD_DELAY", 0)
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

    @pytest.mark.usefixtures("attentive")
    def test_other_mailings_have_their_turn_after_a_while(
        self, mailing: "Mailing", add: Add, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(10)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            monkeypatch.setattr(claim_queue, "CLAIM_TIME_BOX", 0)
            return transport.answer()

        scripted(4, script)
        assert deliver(mailing.pk) == succeeded() == 4
        assert untouched() == 6

    @pytest.mark.usefixtures("attentive")
    @pytest.mark.parametrize(
        "word", ["pause all", "hold back", "pause", "cancel", "stop", "delete", "end"]
    )
    def test_nothing_more_begins_at_an_operators_word_however_slow_the_sender(
        self, mailing: "Mailing", add: Add, scripted: Scripted, word: str
    ) -> None:
        add(10)
        words: list[str] = []

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            if transport.polls == 2:
                assert (len(transport.sent), untouched()) == (4, 2)  # Four wait.
                words.append(word)
                say(word, mailing)
            if transport.polls == 3 and word != "delete":
                assert untouched() == 6  # At once, although no answer has come.
            return transport.answer() if transport.polls > 3 else []

        transport = scripted(4, script)
        assert deliver(mailing.pk, lambda: words == ["end"]) == len(transport.sent) == 4
        assert (succeeded(), untouched()) == ((0, 0) if word == "delete" else (4, 6))

    @pytest.mark.usefixtures("attentive")
    def test_nothing_begins_at_a_word_that_came_while_a_claim_waited_for_the_database(
        self, mailing: "Mailing", add: Add, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def wait_for_long(*args: Any, **options: Any) -> Any:
            control.change(is_paused=True)
            return claim_now(*args, **options)

        claim_now = claiming.claim
        monkeypatch.setattr(claiming, "claim", wait_for_long)
        add(5)
        transport = scripted(4, ScriptedTransport.answer)
        assert deliver(mailing.pk) == len(transport.sent) == 0
        assert untouched() == 5

    @pytest.mark.usefixtures("attentive")
    def test_what_was_claimed_of_a_mailing_that_is_edited_is_claimed_anew(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        add(6)
        add(1, timezone="Asia/Tokyo")

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            if transport.polls == 2:
                assert (len(transport.sent), untouched()) == (3, 1)  # Three wait.
                filters = {"timezone": "UTC"}
                type(mailing).objects.update(text="Bye", filters=filters, updated_at=timezone.now())
            return transport.answer() if transport.polls > 2 else []

        transport = scripted(3, script)
        assert deliver(mailing.pk) == succeeded() == 6
        texts = [json.loads(request.text) for request in transport.sent]
        assert texts == ["Hello"] * 3 + ["Bye"] * 3
        assert set(Message.objects.values_list("status", "attempts")) == {
            ("success", 1),
            ("pending", 0),
        }

    @pytest.mark.parametrize(
        ("is_idempotent", "answer", "text", "version"),
        [
            (True, {"failure": Failure.TIMEOUT}, "Hello", 1),
            (True, {"status": 503}, "Bye", 2),
            (False, {"failure": Failure.TIMEOUT}, "Bye", 2),
        ],
    )
    def test_what_may_have_arrived_is_repeated_with_the_text_it_had(
        self,
        mailing: "Mailing",
        add: Add,
        scripted: Scripted,
        settings: Settings,
        is_idempotent: bool,
        answer: dict[str, Any],
        text: str,
        version: int,
    ) -> None:
        """A sender that drops repeats would drop the new one, and we would say that it was sent."""
        settings.MESSAGE_SENDER_IDEMPOTENT = is_idempotent
        (message,) = add(1)
        transport = scripted(1, lambda transport: transport.answer(**answer))
        deliver(mailing.pk)
        mailing.text = "Bye"
        edit_mailing(mailing, now=timezone.now())
        Message.objects.update(next_attempt_at=timezone.now(), queued_at=timezone.now())
        transport.script = ScriptedTransport.answer
        deliver(mailing.pk)
        message.refresh_from_db()
        assert (message.status, message.text_version) == ("success", version)
        assert [request.text for request in transport.sent] == ['"Hello"', json.dumps(text)]

    @pytest.mark.usefixtures("own_clock")
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

    @pytest.mark.usefixtures("own_clock")
    def test_nothing_is_begun_that_its_lease_would_not_cover(
        self, mailing: "Mailing", add: Add, scripted: Scripted, now: datetime
    ) -> None:
        add(6)
        request = timedelta(seconds=django_settings.MESSAGE_SENDER_TIMEOUT)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            if transport.polls == 1:
                return []
            if transport.polls == 2:
                clock.move_to(now + (LEASE - LEASE_MARGIN) * request)
            return transport.answer()

        transport = scripted(3, script)
        with time_machine.travel(now, tick=False) as clock:
            assert deliver(mailing.pk) == 3
        assert len(transport.sent) == succeeded() == untouched() == 3
        assert Message.objects.due(now).count() == 3

    def test_a_message_that_failed_may_be_sent_again_by_the_same_delivery(
        self,
        mailing: "Mailing",
        add: Add,
        scripted: Scripted,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("random.uniform", lambda low, high: low)
        messages = add(4)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            return transport.answer(2) if transport.polls > 1 else transport.answer(2, status=429)

        transport = scripted(2, script)
        assert deliver(mailing.pk) == 6
        assert succeeded() == 4
        failed = [request.id for request in transport.sent[:2]]
        assert sorted(failed) == [message.pk for message in messages[:2]]
        assert set(Attempt.objects.values_list("message", "number", "error_code")) == {
            (pk, number, code) for pk in failed for number, code in ((1, "throttled"), (2, ""))
        }

    @pytest.mark.parametrize("number", [0, 5])
    def test_nothing_is_left_behind(
        self, mailing: "Mailing", add: Add, scripted: Scripted, number: int
    ) -> None:
        add(number)
        held = []

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            lease = Lease.objects.get()
            held.append(Message.objects.leased_under(lease).count())
            assert len(list(django_settings.SPOOL_DIR.glob("*.spool"))) == 1
            return transport.answer()

        scripted(5, script)
        assert deliver(mailing.pk) == number
        assert held == [5] * bool(number)
        assert not Lease.objects.exists()
        assert list(django_settings.SPOOL_DIR.iterdir()) == []

    @pytest.mark.django_db(transaction=True)
    def test_deliveries_at_once_send_each_message_once(
        self,
        mailing: "Mailing",
        add: Add,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
        at_once: AtOnce,
    ) -> None:
        settings.MESSAGE_SENDER_CONCURRENCY = 5
        transports = []

        def transport() -> ScriptedTransport:
            transports.append(ScriptedTransport(5, lambda each: each.answer(2)))
            return transports[-1]

        monkeypatch.setattr(sender, "transport", transport)
        messages = add(60)
        assert sum(at_once(*[partial(deliver, mailing.pk)] * 3)) == succeeded() == 60
        sent = [request.id for transport in transports for request in transport.sent]
        assert sorted(sent) == [message.pk for message in messages]


def take_back() -> None:
    """Take back what the only delivery holds, as if its time had passed."""
    now = timezone.now()
    Lease.objects.update(expires_at=now)
    assert recovery.reclaim_expired(now=now)


class TestLateAnswers:
    """A delivery that stands still for longer than its lease wakes and finds its answers."""

    def stall(self, then: Callable[[], object], **answer: Any) -> Callable[..., list[Answer]]:
        """Return a script in which the lease is taken back, then something else happens."""

        def script(transport: ScriptedTransport) -> list[Answer]:
            if transport.polls == 1:
                take_back()
                then()
            return transport.answer(**answer)

        return script

    def claim_by_another(self, mailing: "Mailing") -> None:
        assert claim(mailing, timezone.now() + SECOND, token=-1, lasts=HOUR)

    def test_a_success_is_saved_whoever_has_the_message_now(
        self,
        mailing: "Mailing",
        add: Add,
        scripted: Scripted,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        (message,) = add(1)
        scripted(1, self.stall(partial(self.claim_by_another, mailing)))
        assert deliver(mailing.pk) == 1
        message.refresh_from_db()
        assert (message.status, message.next_attempt_at, message.error_code) == (
            "success",
            None,
            "",
        )
        assert (message.lease_token, message.lease_until) == (None, None)
        assert message.sent_at
        assert caplog.messages[-2:] == [
            f"Mailing {mailing.pk}: answers came after their lease had ended.",
            "The sender accepted 1 of 1 messages.",
        ]

    @pytest.mark.parametrize("attempts", [0, 2])
    def test_a_success_is_saved_when_nobody_has_it(
        self, mailing: "Mailing", add: Add, scripted: Scripted, attempts: int
    ) -> None:
        (message,) = add(1, attempts=attempts, status="fail" if attempts else "pending")
        scripted(1, self.stall(lambda: None))
        deliver(mailing.pk)
        message.refresh_from_db()
        assert (message.status, message.attempts) == ("success", attempts + 1)
        assert message.attempt_log.get().error_code == ""

    def test_a_failure_is_saved_when_nobody_has_it(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        (message,) = add(1)
        scripted(1, self.stall(lambda: None, status=400))
        deliver(mailing.pk)
        message.refresh_from_db()
        assert (message.status, message.error_code) == ("fail", "rejected")
        assert message.next_attempt_at is None
        assert message.attempt_log.get().error_code == "rejected"

    def test_a_failure_is_not_saved_when_another_delivery_has_it(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        (message,) = add(1)
        scripted(1, self.stall(partial(self.claim_by_another, mailing), status=400))
        deliver(mailing.pk)
        message.refresh_from_db()
        assert (message.lease_token, message.attempts, message.error_code) == (-1, 2, "unconfirmed")
        assert message.lease_until
        assert list(message.attempt_log.values_list("number", "error_code")) == [(1, "unconfirmed")]

    def test_nothing_more_is_claimed_under_a_lease_that_was_taken_back(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        add(4)
        transport = scripted(2, self.stall(lambda: None))
        deliver(mailing.pk)
        assert len(transport.sent) == succeeded() == 2
        assert untouched() == 2

    @pytest.mark.parametrize("is_idempotent", [True, False])
    def test_what_was_taken_back_and_never_begun_is_as_good_as_never_claimed(
        self,
        mailing: "Mailing",
        add: Add,
        scripted: Scripted,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
        is_idempotent: bool,
    ) -> None:
        settings.MESSAGE_SENDER_IDEMPOTENT = is_idempotent
        monkeypatch.setattr(pump, "RECORD_DELAY", 0)
        add(4)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            if transport.polls == 1:
                return []  # The next two are claimed now.
            if transport.polls == 2:
                take_back()
                return transport.answer(status=401)  # Nothing more may be begun.
            return transport.answer()

        transport = scripted(2, script)
        deliver(mailing.pk)
        assert len(transport.sent) == 2
        assert untouched() == Message.objects.due(timezone.now()).filter(attempts=0).count() == 2
        assert Attempt.objects.count() == 2


class TestInterruption:
    def test_open_requests_are_waited_for_and_the_next_delivery_writes_their_answers(
        self, mailing: "Mailing", make_mailing: MakeMailing, add: Add, scripted: Scripted
    ) -> None:
        messages = add(5)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            if transport.polls == 2:
                raise KeyboardInterrupt
            return transport.answer(2) if transport.polls > 2 else []

        transport = scripted(3, script)
        with pytest.raises(KeyboardInterrupt):
            deliver(mailing.pk)
        assert succeeded() == 0
        assert transport.is_idle
        deliver(make_mailing().pk)
        assert [request.id for request in transport.sent] == [m.pk for m in messages[:3]]
        assert set(Message.objects.values_list("status", "attempts", "lease_token")) == {
            ("success", 1, None),
            ("pending", 0, None),
        }
        assert succeeded() == 3
        assert not Lease.objects.exists()

    @pytest.mark.postgres  # SQLite has no server to lose
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("is_idempotent", [True, False])
    def test_answers_outlive_the_loss_of_the_database(
        self,
        mailing: "Mailing",
        add: Add,
        scripted: Scripted,
        settings: Settings,
        is_idempotent: bool,
    ) -> None:
        settings.MESSAGE_SENDER_IDEMPOTENT = is_idempotent
        messages = add(20)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            if transport.polls == 2:
                terminate_backend()
                return transport.answer(2)
            if transport.polls == 3:
                return [*transport.answer(1, status=400), *transport.answer(1)]
            return transport.answer(1)

        transport = scripted(6, script)
        with pytest.raises(OperationalError):
            deliver(mailing.pk)
        connection.close()
        sent = {request.id for request in transport.sent}
        assert transport.is_idle
        assert (Lease.objects.count(), len(list(settings.SPOOL_DIR.glob("*.spool")))) == (1, 1)
        recovery.replay_orphans(now=timezone.now())
        begun = Message.objects.filter(pk__in=sent)
        assert begun.filter(status="success", attempts=1).count() == len(sent) - 1
        assert begun.get(status="fail").error_code == "rejected"
        assert untouched() == 20 - len(sent)
        assert not Lease.objects.exists()
        transport.script = ScriptedTransport.answer
        deliver(mailing.pk)
        assert sorted(request.id for request in transport.sent) == [m.pk for m in messages]
        assert succeeded() == 19

    @pytest.mark.django_db(transaction=True)
    def test_a_mailing_that_is_gone_is_nobodys_error(self, scripted: Scripted) -> None:
        scripted(1, ScriptedTransport.answer)
        assert deliver(10**9) == 0
        assert not Lease.objects.exists()


def test_a_sender_that_is_not_there_leaves_messages_to_be_tried_again(
    mailing: "Mailing", add: Add, sender: Sandbox, settings: Settings
) -> None:
    with socket.socket() as bound:  # Nobody listens there, and nobody else can.
        bound.bind(("127.0.0.1", 0))
        settings.MESSAGE_SENDER_URL = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
        add(3)
        assert deliver(mailing.pk) == 3
    later = Message.objects.filter(error_code="unavailable", next_attempt_at__gt=timezone.now())
    assert later.count() == 3
