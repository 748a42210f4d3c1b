"""What is written about an attempt: what it came to, and when the next one is due."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from django.utils import timezone
from pytest_django import Settings

from messages_app import sender
from messages_app.engine import outcomes
from messages_app.engine.outcomes import MAX_RETRY_AFTER
from messages_app.engine.records import Outcome
from messages_app.models import Attempt, Message
from messages_app.sender import Answer, Failure, Verdict, classify
from messages_app.tests.scenes import deliver
from messages_app.tests.scripted import ACCEPTED, Scripted, ScriptedTransport
from tests.sandbox import TOKEN, Sandbox, running_sandbox

if TYPE_CHECKING:
    from mailings.models import Mailing

Add = Callable[..., list[Message]]

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
BACKENDS = ("curl.CurlTransport", "threads.RequestsTransport")
REDIRECT: dict[str, Any] = {"status": 302}
UNCLEAR: list[dict[str, Any]] = [
    {"failure": Failure.TIMEOUT},
    {"failure": Failure.BROKEN},
    {"status": 500},
    REDIRECT,
    {"status": 200, "body": b"<html>"},
]
CERTAIN: list[dict[str, Any]] = [
    {"failure": Failure.NOT_CONNECTED},
    {"status": 429},
    {"status": 503},
    {"status": 200, "body": b'{"code": 7}'},
]


def written(now: datetime, *, attempt: int = 1, **answer: Any) -> Outcome:
    """Return what is written about an answer."""
    given = Answer(5, **answer)
    return outcomes.outcome(given, classify(given), attempt=attempt, now=now)


class TestOutcome:
    def test_a_success_is_final(self, now: datetime) -> None:
        outcome = written(now, attempt=3, seconds=0.5, **ACCEPTED)
        assert outcome == Outcome(
            5,
            "success",
            began_at=now - SECOND / 2,
            seconds=0.5,
            sent_at=now,
            http_status=200,
            attempt=3,
        )

    def test_a_rejection_is_final(self, now: datetime) -> None:
        outcome = written(now, status=422, body=b"No.", seconds=2.0)
        assert outcome == Outcome(
            5,
            "fail",
            began_at=now - 2 * SECOND,
            seconds=2.0,
            error_code="rejected",
            error="HTTP 422: No.",
            http_status=422,
            attempt=1,
        )

    def test_a_refused_token_leaves_the_message_pending_and_due(self, now: datetime) -> None:
        outcome = written(now, status=401, retry_after=100)
        assert (outcome.status, outcome.error_code) == ("pending", "unauthorized")
        assert outcome.next_attempt_at == now

    @pytest.mark.parametrize("status", [301, 302, 402, 404, 405, 410, 421, 451])
    def test_what_any_other_would_be_told_leaves_the_message_pending_and_due(
        self, now: datetime, status: int
    ) -> None:
        outcome = written(now, status=status, retry_after=100)
        assert (outcome.status, outcome.error_code) == ("pending", "unavailable")
        assert outcome.next_attempt_at == now

    @pytest.mark.usefixtures("longest_wait")
    def test_a_message_that_is_told_so_again_does_not_come_back_at_once(
        self, now: datetime
    ) -> None:
        assert written(now, attempt=2, status=404).next_attempt_at == now + 20 * SECOND

    @pytest.mark.parametrize("answer", [each for each in UNCLEAR + CERTAIN if each != REDIRECT])
    def test_whatever_may_go_better_is_tried_again(
        self, now: datetime, answer: dict[str, Any]
    ) -> None:
        outcome = written(now, **answer)
        assert (outcome.status, outcome.sent_at) == ("fail", None)
        assert outcome.next_attempt_at
        assert outcome.http_status == answer.get("status")
        assert outcome.error_code == classify(Answer(5, **answer)).error_code

    def test_the_reason_fits_into_its_column(self, now: datetime) -> None:
        verdict = Verdict("unavailable", "👋" * 300)
        outcome = outcomes.outcome(Answer(5), verdict, attempt=1, now=now)
        assert outcome.error == "👋" * 255


class TestHoldMode:
    @pytest.fixture(autouse=True)
    def _repeats_are_delivered(self, settings: Settings) -> None:
        settings.MESSAGE_SENDER_IDEMPOTENT = False

    @pytest.mark.parametrize("answer", UNCLEAR)
    def test_what_may_have_arrived_is_held(self, now: datetime, answer: dict[str, Any]) -> None:
        outcome = written(now, **answer)
        assert (outcome.status, outcome.error_code) == ("fail", "unconfirmed")
        assert (outcome.next_attempt_at, outcome.sent_at) == (None, None)
        assert outcome.error == classify(Answer(5, **answer)).error

    @pytest.mark.parametrize("answer", [*CERTAIN, {"status": 401}])
    def test_what_has_certainly_not_arrived_is_tried_again(
        self, now: datetime, answer: dict[str, Any]
    ) -> None:
        outcome = written(now, **answer)
        assert outcome.error_code != "unconfirmed"
        assert outcome.next_attempt_at

    @pytest.mark.parametrize("answer", [ACCEPTED, {"status": 400}])
    def test_what_is_clear_is_as_ever(
        self, now: datetime, settings: Settings, answer: dict[str, Any]
    ) -> None:
        held = written(now, **answer)
        settings.MESSAGE_SENDER_IDEMPOTENT = True
        assert held == written(now, **answer)


class TestNextAttempt:
    @pytest.mark.usefixtures("longest_wait")
    def test_the_wait_doubles_up_to_the_repeat_timeout(
        self, now: datetime, settings: Settings
    ) -> None:
        settings.MAILING_REPEAT_TIMEOUT = timedelta(seconds=100)
        for attempt, seconds in ((1, 10), (2, 20), (3, 40), (4, 80), (5, 100), (10**6, 100)):
            outcome = written(now, attempt=attempt, status=503)
            assert outcome.next_attempt_at == now + seconds * SECOND

    def test_failures_do_not_come_back_together(self, now: datetime) -> None:
        waits = [written(now, attempt=3, status=503).next_attempt_at for _ in range(200)]
        seconds = sorted((wait - now).total_seconds() for wait in waits if wait)
        assert 0 <= seconds[0] < 10
        assert 30 < seconds[-1] <= 40
        assert len(set(seconds)) > 150

    @pytest.mark.usefixtures("longest_wait")
    @pytest.mark.parametrize(
        ("retry_after", "wait"),
        [(0, 10), (5, 10), (77, 77), (3600, 3600), (2**62, MAX_RETRY_AFTER)],
    )
    def test_it_is_never_before_the_sender_wants_it_but_within_a_day(
        self, now: datetime, retry_after: int, wait: float
    ) -> None:
        outcome = written(now, status=429, retry_after=retry_after)
        assert outcome.next_attempt_at == now + timedelta(seconds=wait)


@pytest.mark.django_db
class TestLog:
    def test_a_success_at_the_first_attempt_has_no_row(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        add(2)
        scripted(2, ScriptedTransport.answer)
        deliver(mailing.pk)
        assert not Attempt.objects.exists()

    @pytest.mark.usefixtures("own_clock", "longest_wait")
    def test_failed_attempts_and_the_success_after_them_have_one_each(
        self, mailing: "Mailing", add: Add, scripted: Scripted, now: datetime
    ) -> None:
        (message,) = add(1)
        answers: list[dict[str, Any]] = [
            {"status": 503, "body": b"Not now.", "seconds": 0.25},
            {"failure": Failure.TIMEOUT, "detail": "too slow", "seconds": 10.0},
            {**ACCEPTED, "seconds": 0.5},
        ]
        scripted(1, lambda each: each.answer(**answers[each.polls - 1]))
        moments = [now, now + 60 * SECOND, now + 120 * SECOND]
        for moment in moments:
            with time_machine.travel(moment, tick=False):
                assert deliver(mailing.pk) == 1
        rows = message.attempt_log.values_list(
            "number", "began_at", "seconds", "error_code", "http_status", "error"
        )
        assert list(rows) == [
            (1, moments[0] - SECOND / 4, 0.25, "unavailable", 503, "HTTP 503: Not now."),
            (
                2,
                moments[1] - 10 * SECOND,
                10.0,
                "unconfirmed",
                None,
                "The sender gave no answer: too slow",
            ),
            (3, moments[2] - SECOND / 2, 0.5, "", 200, ""),
        ]

    def test_a_rejected_message_has_one(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        (message,) = add(1)
        scripted(1, lambda each: each.answer(status=400))
        deliver(mailing.pk)
        row = message.attempt_log.get()
        assert (row.number, row.error_code, row.http_status) == (1, "rejected", 400)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox"), "--no-deduplicate") as sandbox:
        yield sandbox


@pytest.mark.django_db
class TestWithTheSender:
    @pytest.fixture(params=BACKENDS)
    def sandbox(
        self, request: pytest.FixtureRequest, shared: Sandbox, settings: Settings
    ) -> Iterator[Sandbox]:
        """Have the engine send to the shared sandbox, with little patience."""
        settings.MESSAGE_SENDER_TIMEOUT = 1
        settings.MESSAGE_SENDER_BACKEND = f"messages_app.sender.{request.param}"
        settings.MESSAGE_SENDER_URL = shared.api_url
        settings.MESSAGE_SENDER_TOKEN = TOKEN
        settings.MAILING_REPEAT_TIMEOUT = timedelta(seconds=5)
        sender.transport.cache_clear()
        yield shared
        shared.set_faults()
        sender.transport.cache_clear()

    @pytest.mark.usefixtures("longest_wait")
    @pytest.mark.parametrize(
        ("faults", "error_code", "wait"),
        [
            ({"bad_request": 1}, "rejected", None),
            ({"throttled": 1, "retry_after": 77}, "throttled", 77),
            ({"throttled": 1, "retry_after": 0}, "throttled", 5),
            ({"unavailable": 1}, "unavailable", 5),
            ({"unavailable": 1, "unavailable_retry_after": 33}, "unavailable", 33),
            ({"server_error": 1}, "bad_response", 5),
            ({"wrong_code": 1}, "bad_response", 5),
            ({"garbage": 1}, "bad_response", 5),
            ({"reset_before": 1}, "unconfirmed", 5),
            ({"reset_after": 1}, "unconfirmed", 5),
            ({"hang": 1}, "unconfirmed", 5),
            ({"hang_after": 1}, "unconfirmed", 5),
            ({"outage": True}, "unavailable", 5),
        ],
        ids=lambda value: next(iter(value), None) if isinstance(value, dict) else None,
    )
    def test_what_the_sender_does_decides_what_is_written(
        self,
        mailing: "Mailing",
        add: Add,
        sandbox: Sandbox,
        faults: dict[str, object],
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
            assert (message.status, message.error_code) == ("fail", error_code)
            assert (message.attempts, message.sent_at) == (1, None)
            assert (message.lease_token, message.lease_until) == (None, None)
            assert 10 < len(message.error) <= 255
            row = message.attempt_log.get()
            assert (row.number, row.error_code, row.error) == (1, error_code, message.error)
            assert row.began_at
            assert row.seconds is not None
            assert began_at <= row.began_at + row.seconds * SECOND <= ended_at
            if wait is None:
                assert message.next_attempt_at is None
            else:
                pause = timedelta(seconds=wait)
                assert message.next_attempt_at
                assert began_at + pause <= message.next_attempt_at <= ended_at + pause

    @pytest.mark.usefixtures("own_clock")
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

    @pytest.mark.usefixtures("own_clock")
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
        assert deliver(mailing.pk) >= 60
        codes = list(Message.objects.values_list("error_code", flat=True))
        assert set(codes) == {"", "rejected", "bad_response", "unconfirmed"}
        assert codes.count("") == Message.objects.filter(status="success").count() < 45
