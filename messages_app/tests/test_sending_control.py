"""What holds every worker back: the operator's pause, the rate, the breaker."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from messages_app import sender as engine
from messages_app.engine import pump
from messages_app.engine.claim_queue import MAX_SLOT_DELAY
from messages_app.models import Message, SendingControl
from messages_app.sender import Answer, Failure, classify
from messages_app.sending import control
from messages_app.sending.control import (
    FAILURES_TO_OPEN,
    FIRST_PROBE_DELAY,
    MAX_LOOKAHEAD,
    MAX_PROBE_DELAY,
    REJECTED_PROBES,
    REJECTIONS_TO_OPEN,
    AnswerStreak,
)
from messages_app.tests.scenes import deliver, untouched
from messages_app.tests.scripted import ACCEPTED, Scripted, ScriptedTransport
from tests.sandbox import Sandbox

if TYPE_CHECKING:
    from mailings.models import Mailing

pytestmark = pytest.mark.django_db

Add = Callable[..., list[Message]]
AtOnce = Callable[..., list[Any]]

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
FIRST = timedelta(seconds=FIRST_PROBE_DELAY)

GOOD: dict[str, Any] = ACCEPTED
BAD: dict[str, Any] = {"status": 503, "body": b"Not now."}
REJECTED: dict[str, Any] = {"status": 400}
REFUSED: dict[str, Any] = {"status": 401, "body": b"Who are you?"}


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have answers recorded when they open the breaker, and not because time has passed."""
    monkeypatch.setattr(pump, "RECORD_DELAY", 60)


def run_of(*answers: dict[str, Any]) -> AnswerStreak:
    """Return how it went when the sender answered so."""
    run = AnswerStreak()
    for fields in answers:
        answer = Answer(1, **fields)
        run.add(answer, classify(answer))
    return run


def update(*answers: dict[str, Any], now: datetime, is_probe: bool = False) -> bool:
    """Update the breaker from answers, as a delivery does that has just read the row."""
    return control.update_breaker(run_of(*answers), is_probe=is_probe, now=now)


def is_open() -> bool:
    return SendingControl.objects.current().opened_at is not None


class TestOpening:
    @pytest.mark.parametrize(
        "failure", [BAD, {"failure": Failure.TIMEOUT}, {"status": 429}, {"status": 500}]
    )
    def test_a_run_of_failures_opens_the_breaker(
        self, now: datetime, caplog: pytest.LogCaptureFixture, failure: dict[str, Any]
    ) -> None:
        assert update(*[failure] * (FAILURES_TO_OPEN - 1), now=now)
        assert not is_open()
        assert not update(failure, now=now)
        state = SendingControl.objects.current()
        assert (state.opened_at, state.probe_at) == (now, now + FIRST)
        assert state.reason == classify(Answer(1, **failure)).error
        (line,) = caplog.records
        assert line.levelno == logging.ERROR
        assert state.reason in line.getMessage()

    @pytest.mark.parametrize("good", [GOOD, REJECTED])
    def test_an_answer_from_a_sender_that_is_well_ends_the_run(
        self, now: datetime, good: dict[str, Any]
    ) -> None:
        assert update(*[BAD] * (FAILURES_TO_OPEN - 1), now=now)
        assert update(good, *[BAD] * (FAILURES_TO_OPEN - 1), now=now)
        assert update(*[BAD] * 100, good, now=now)
        assert SendingControl.objects.current().failures == 0
        assert not is_open()

    @pytest.mark.parametrize("good", [GOOD, REJECTED])
    def test_an_answer_that_another_worker_hears_ends_the_run(
        self, now: datetime, good: dict[str, Any]
    ) -> None:
        update(*[BAD] * (FAILURES_TO_OPEN - 1), now=now)
        update(good, now=now)
        assert update(BAD, now=now)

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refused_token_opens_it_at_once(self, now: datetime, status: int) -> None:
        assert not update(GOOD, {"status": status}, GOOD, now=now)
        assert "MESSAGE_SENDER_TOKEN" in SendingControl.objects.current().reason

    @pytest.mark.parametrize(
        ("asked", "wait"), [(1, FIRST_PROBE_DELAY), (45, 45), (10**9, MAX_PROBE_DELAY)]
    )
    def test_the_sender_is_left_in_peace_for_as_long_as_it_asks_up_to_a_minute(
        self, now: datetime, asked: int, wait: float
    ) -> None:
        throttled = {"status": 429, "retry_after": asked}
        update(*[BAD] * FAILURES_TO_OPEN, throttled, now=now)
        assert SendingControl.objects.current().probe_at == now + timedelta(seconds=wait)

    def test_answers_of_before_do_not_open_it_again(self, now: datetime) -> None:
        update(REFUSED, now=now)
        assert not update(REFUSED, now=now + SECOND)
        state = SendingControl.objects.current()
        assert (state.opened_at, state.probe_at) == (now, now + FIRST)

    def test_while_all_is_well_nothing_is_written(
        self, now: datetime, django_assert_num_queries: Callable[[int], Any]
    ) -> None:
        with django_assert_num_queries(1) as queries:
            assert control.update_breaker(run_of(GOOD), is_probe=False, now=now)
        assert queries[0]["sql"].startswith("SELECT")
        with django_assert_num_queries(0):
            assert control.update_breaker(AnswerStreak(), is_probe=True, now=now)

    @pytest.mark.django_db(transaction=True)
    def test_a_success_ends_the_run_that_another_worker_has_counted_since(
        self, mailing: "Mailing", add: Add, scripted: Scripted, now: datetime
    ) -> None:
        add(1)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            # While this delivery waits for its answer, having read the row, another one fails.
            update(*[BAD] * (FAILURES_TO_OPEN - 1), now=now)
            return transport.answer()

        scripted(1, script)
        assert deliver(mailing.pk) == 1
        assert SendingControl.objects.current().failures == 0

    @pytest.mark.django_db(transaction=True)
    def test_failures_of_all_workers_are_counted_together(
        self, now: datetime, at_once: AtOnce
    ) -> None:
        half = run_of(*[BAD] * (FAILURES_TO_OPEN // 4))
        at_once(*[partial(control.update_breaker, half, is_probe=False, now=now)] * 4)
        assert SendingControl.objects.current().failures == FAILURES_TO_OPEN
        assert is_open()


class TestRejections:
    """A sender that rejects whatever it gets is in trouble, or the messages are bad."""

    def test_a_run_without_one_success_opens_the_breaker(
        self, now: datetime, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert update(*[REJECTED, BAD] * (REJECTIONS_TO_OPEN - 1), now=now)
        assert not update(REJECTED, now=now)
        reason = SendingControl.objects.current().reason
        assert reason == f"{REJECTIONS_TO_OPEN} messages were rejected in a row. HTTP 400: "
        assert reason in caplog.text

    def test_a_success_of_any_worker_ends_the_run(self, now: datetime) -> None:
        for _ in range(5):
            assert update(*[REJECTED] * (REJECTIONS_TO_OPEN - 1), now=now)
            assert update(GOOD, now=now)
        assert update(*[REJECTED] * 100, GOOD, now=now)

    def test_a_rejected_probe_closes_a_breaker_that_failures_have_opened(
        self, now: datetime
    ) -> None:
        update(REFUSED, now=now)
        assert update(REJECTED, now=now, is_probe=True)
        assert SendingControl.objects.current().rejections == 1

    def reject_all(self, now: datetime) -> None:
        assert not update(*[REJECTED] * (REJECTIONS_TO_OPEN + 80), now=now)

    def wait(self, now: datetime) -> float | None:
        probe_at = SendingControl.objects.current().probe_at
        return (probe_at - now).total_seconds() if probe_at else None

    def test_an_accepted_probe_shows_that_the_messages_were_bad(self, now: datetime) -> None:
        self.reject_all(now)
        assert update(GOOD, now=now, is_probe=True)
        state = SendingControl.objects.current()
        assert (state.opened_at, state.rejections, state.probe_interval) == (None, 0, 0)

    def test_rejected_probes_keep_it_open_for_a_minute_and_no_longer(self, now: datetime) -> None:
        self.reject_all(now)
        waits = [self.wait(now)]
        for _ in range(REJECTED_PROBES - 1):
            assert not update(REJECTED, now=now, is_probe=True)
            waits.append(self.wait(now))
        assert waits == [2, 4, 8, 16, 32]
        assert update(REJECTED, now=now, is_probe=True)
        assert not is_open()

    def test_what_is_still_heard_of_before_is_no_probe(self, now: datetime) -> None:
        self.reject_all(now)
        assert not update(*[REJECTED] * 100, now=now)
        assert not update(REJECTED, now=now, is_probe=True)
        assert is_open()

    def give_up_probing(self, now: datetime) -> None:
        for _ in range(REJECTED_PROBES):
            update(REJECTED, now=now, is_probe=True)
        assert not is_open()

    def test_if_it_opens_again_without_a_success_it_waits_longer(self, now: datetime) -> None:
        self.reject_all(now)
        self.give_up_probing(now)
        assert update(*[REJECTED] * (REJECTIONS_TO_OPEN - 1), now=now)
        assert not update(REJECTED, now=now)
        assert self.wait(now) == 32
        self.give_up_probing(now)
        self.reject_all(now)
        assert self.wait(now) == MAX_PROBE_DELAY

    def test_after_a_success_it_waits_as_briefly_as_ever(self, now: datetime) -> None:
        self.reject_all(now)
        self.give_up_probing(now)
        assert update(GOOD, now=now)
        self.reject_all(now)
        assert self.wait(now) == FIRST_PROBE_DELAY


class TestProbing:
    @pytest.fixture(autouse=True)
    def _open(self, now: datetime) -> None:
        update(REFUSED, now=now)

    def take(self, now: datetime) -> bool:
        return SendingControl.objects.all().take_probe(now, until=now + 10 * SECOND)

    def test_nothing_goes_out_before_its_time(self, now: datetime) -> None:
        instant = timedelta(microseconds=1)
        for moment, is_held in ((now, True), (now + FIRST - instant, True), (now + FIRST, False)):
            assert control.is_blocked(SendingControl.objects.current(), moment) is is_held
        assert not self.take(now + FIRST - instant)
        assert self.take(now + FIRST)

    def test_the_next_can_take_it_when_one_does_not_come_back(self, now: datetime) -> None:
        taken_at = now + FIRST
        moments = [taken_at, taken_at + SECOND, taken_at + 10 * SECOND]
        assert [self.take(moment) for moment in moments] == [True, False, True]

    @pytest.mark.django_db(transaction=True)
    def test_of_ten_at_once_one_takes_the_probe(self, now: datetime, at_once: AtOnce) -> None:
        assert sorted(at_once(*[partial(self.take, now + FIRST)] * 10)) == [False] * 9 + [True]

    def test_a_closed_breaker_has_no_probe(self, now: datetime) -> None:
        update(GOOD, now=now, is_probe=True)
        assert not self.take(now + HOUR)

    def test_a_pause_holds_even_a_probe(self, now: datetime) -> None:
        control.change(is_paused=True)
        assert not self.take(now + HOUR)

    def test_each_failed_probe_doubles_the_wait_up_to_a_minute(self, now: datetime) -> None:
        waits = []
        for _ in range(7):
            assert not update(BAD, now=now, is_probe=True)
            probe_at = SendingControl.objects.current().probe_at
            assert probe_at
            waits.append((probe_at - now).total_seconds())
        assert waits == [4, 8, 16, 32, MAX_PROBE_DELAY, MAX_PROBE_DELAY, MAX_PROBE_DELAY]
        assert SendingControl.objects.current().opened_at == now

    def test_a_failed_one_says_why_and_for_how_long(self, now: datetime) -> None:
        update({"status": 429, "retry_after": 45}, now=now, is_probe=True)
        state = SendingControl.objects.current()
        assert state.reason.startswith("HTTP 429")
        assert state.probe_at == now + 45 * SECOND

    @pytest.mark.parametrize("good", [GOOD, REJECTED])
    def test_a_good_one_closes_the_breaker(
        self, now: datetime, caplog: pytest.LogCaptureFixture, good: dict[str, Any]
    ) -> None:
        assert update(good, now=now, is_probe=True)
        state = SendingControl.objects.current()
        assert (state.opened_at, state.probe_at, state.failures) == (None, None, 0)
        assert (state.reason, state.probe_interval) == ("", 0)
        assert not control.is_blocked(state, now)
        assert caplog.messages[-1] == "The sender takes messages again."

    def test_what_others_still_hear_does_not_close_it(self, now: datetime) -> None:
        assert not update(BAD, GOOD, now=now)
        assert is_open()

    def test_an_old_one_that_failed_holds_nobody_once_the_breaker_is_closed(
        self, now: datetime
    ) -> None:
        update(GOOD, now=now, is_probe=True)
        assert update({**BAD, "retry_after": 3600}, now=now, is_probe=True)
        assert not control.is_blocked(SendingControl.objects.current(), now)


class TestProbingNow:
    def test_an_open_breaker_tries_the_sender_at_once(self, now: datetime) -> None:
        update(*[{**REFUSED, "retry_after": 3600}], now=now)
        state = control.probe_now(now=now)
        assert not control.is_blocked(state, now)
        update(BAD, now=now, is_probe=True)
        assert SendingControl.objects.current().probe_at == now + 2 * FIRST


class TestRate:
    @pytest.mark.parametrize(
        ("of_settings", "of_operator", "limit"),
        [(None, None, None), (50, None, 50), (None, 0.5, 0.5), (50, 20.0, 20), (5, 20.0, 5)],
    )
    def test_the_stricter_limit_counts(
        self,
        settings: Settings,
        of_settings: float | None,
        of_operator: float | None,
        limit: float | None,
    ) -> None:
        settings.MESSAGE_SENDER_RATE = of_settings
        assert control.effective_rate(control.change(rate=of_operator)) == limit

    def test_without_a_limit_all_may_go_now(self, now: datetime) -> None:
        assert control.reserve_slots(1000, now=now) == (now, timedelta())
        assert SendingControl.objects.current().next_slot_at is None

    def test_moments_are_booked_one_after_the_other(self, now: datetime) -> None:
        control.change(rate=20.0)
        pause = SECOND / 20
        assert control.reserve_slots(4, now=now) == (now, pause)
        assert control.reserve_slots(2, now=now) == (now + 4 * pause, pause)
        assert control.reserve_slots(1, now=now) == (now + 6 * pause, pause)

    def test_moments_that_nobody_wanted_are_not_made_up_for(self, now: datetime) -> None:
        control.change(rate=20.0)
        control.reserve_slots(4, now=now)
        assert control.reserve_slots(1, now=now + HOUR)[0] == now + HOUR

    @pytest.mark.django_db(transaction=True)
    def test_no_two_workers_get_the_same_moment(self, now: datetime, at_once: AtOnce) -> None:
        control.change(rate=100.0)
        booked = at_once(*[partial(control.reserve_slots, 5, now=now)] * 8)
        assert sorted(first for first, _ in booked) == [
            now + 5 * i * SECOND / 100 for i in range(8)
        ]

    def test_nobody_books_much_more_than_a_second_ahead(self, now: datetime) -> None:
        control.change(rate=10.0)
        control.reserve_slots(10, now=now)
        assert not control.has_no_slots(SendingControl.objects.current(), now)
        control.reserve_slots(1, now=now)
        assert control.has_no_slots(SendingControl.objects.current(), now)
        assert not control.has_no_slots(SendingControl.objects.current(), now + SECOND)
        assert MAX_LOOKAHEAD == SECOND

    @pytest.mark.parametrize("rate", [100.0, None])
    def test_what_was_booked_at_a_lower_rate_holds_nobody_back(
        self, now: datetime, rate: float | None
    ) -> None:
        control.change(rate=0.01)
        control.reserve_slots(1, now=now)
        state = control.change(rate=rate)
        assert not control.has_no_slots(state, now)
        assert control.reserve_slots(1, now=now)[0] == now

    def test_without_a_limit_in_the_settings_any_more_nobody_is_held_back(
        self, now: datetime, settings: Settings
    ) -> None:
        settings.MESSAGE_SENDER_RATE = 0.01
        control.reserve_slots(1, now=now)
        settings.MESSAGE_SENDER_RATE = None
        assert not control.has_no_slots(SendingControl.objects.current(), now)


class TestDelivering:
    @pytest.mark.parametrize("number", [1, 3, 5, 20])
    def test_a_wrong_token_stops_sending_and_costs_no_other_message_an_attempt(
        self, mailing: "Mailing", add: Add, scripted: Scripted, number: int
    ) -> None:
        add(number)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            return transport.answer(status=401) if transport.polls > 1 else []

        transport = scripted(3, script)
        deliver(mailing.pk)
        asked = min(number, 3)
        assert len(transport.sent) == asked
        assert untouched() == number - asked
        refused = Message.objects.filter(error_code="unauthorized")
        assert refused.filter(status="pending", attempts=1).count() == asked
        assert Message.objects.due(timezone.now()).count() == number
        assert is_open()
        assert deliver(mailing.pk) == 0
        assert len(transport.sent) == asked

    @pytest.mark.usefixtures("unhurried")
    def test_a_run_of_failures_stops_it(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        add(200)
        transport = scripted(10, lambda each: each.answer(1, **BAD))
        deliver(mailing.pk)
        assert len(transport.sent) == FAILURES_TO_OPEN + 9
        assert untouched() == 200 - len(transport.sent)
        assert is_open()

    @pytest.mark.usefixtures("unhurried")
    def test_a_run_of_rejections_stops_it_and_the_others_stay_to_be_sent(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        add(200)
        transport = scripted(10, lambda each: each.answer(1, **REJECTED))
        deliver(mailing.pk)
        assert len(transport.sent) == REJECTIONS_TO_OPEN + 9
        assert untouched() == 200 - len(transport.sent)
        assert is_open()

    def test_rejections_among_successes_do_not(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        add(100)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            rejected = transport.answer(REJECTIONS_TO_OPEN - 1, **REJECTED)
            return [*rejected, *transport.answer(1)]

        scripted(20, script)
        assert deliver(mailing.pk) == 100
        assert not is_open()

    @pytest.mark.usefixtures("own_clock")
    def test_one_message_tries_the_sender_and_the_others_follow_when_it_is_well(
        self, mailing: "Mailing", add: Add, scripted: Scripted, now: datetime
    ) -> None:
        add(9)
        update(REFUSED, now=now)
        open_at_once = []

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            open_at_once.append(len(transport.open))
            return transport.answer()

        scripted(4, script)
        with time_machine.travel(now + FIRST, tick=False):
            assert deliver(mailing.pk) == 9
        assert open_at_once[0] == 1
        assert max(open_at_once) == 4
        assert not is_open()

    @pytest.mark.usefixtures("own_clock")
    def test_one_message_tries_the_sender_and_the_others_stay_when_it_is_not(
        self, mailing: "Mailing", add: Add, scripted: Scripted, now: datetime
    ) -> None:
        add(9)
        update(REFUSED, now=now)
        transport = scripted(4, lambda each: each.answer(**BAD))
        with time_machine.travel(now + FIRST, tick=False):
            assert deliver(mailing.pk) == 1
            assert deliver(mailing.pk) == 0
        assert (len(transport.sent), untouched()) == (1, 8)
        assert SendingControl.objects.current().probe_at == now + 3 * FIRST

    def test_whoever_does_not_get_the_probe_sends_nothing(
        self, mailing: "Mailing", add: Add, scripted: Scripted, now: datetime
    ) -> None:
        add(3)
        update(REFUSED, now=now - HOUR)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            assert deliver(mailing.pk) == 0  # another worker, while the probe is open
            return transport.answer()

        transport = scripted(2, script)
        deliver(mailing.pk)
        assert len(transport.sent) == 3

    @pytest.mark.usefixtures("attentive")
    def test_a_pause_costs_nobody_an_attempt_and_all_is_sent_when_it_is_taken_back(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        add(20)

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            if transport.polls == 2:
                assert (len(transport.sent), untouched()) == (4, 12)  # Four wait.
                control.change(is_paused=True)
            return transport.answer() if transport.polls > 2 else []

        transport = scripted(4, script)
        assert deliver(mailing.pk) == len(transport.sent) == 4
        assert untouched() == 16
        assert deliver(mailing.pk) == 0
        control.change(is_paused=False)
        transport.script = ScriptedTransport.answer
        assert deliver(mailing.pk) == 16
        assert set(Message.objects.values_list("attempts", flat=True)) == {1}

    def test_while_sending_is_blocked_a_delivery_is_not_even_begun(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        add(1)
        control.change(is_paused=True)
        scripted(1, ScriptedTransport.answer)
        with CaptureQueriesContext(connection) as queries:
            assert deliver(mailing.pk) == 0
        assert not [each for each in queries.captured_queries if "lease" in each["sql"]]

    @pytest.mark.usefixtures("own_clock")
    def test_a_rate_is_kept_and_costs_nobody_an_attempt(
        self,
        mailing: "Mailing",
        add: Add,
        scripted: Scripted,
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Time passes here only while the delivery sleeps."""
        add(150)
        control.change(rate=40.0)
        begun: list[float] = []

        def script(transport: ScriptedTransport) -> Sequence[Answer]:
            begun.extend([(timezone.now() - now).total_seconds()] * len(transport.open))
            return transport.answer()

        scripted(100, script)
        with time_machine.travel(now, tick=False) as clock:
            monkeypatch.setattr("time.sleep", clock.shift)
            number = deliver(mailing.pk)
        assert number == len(begun) > 40
        for place, moment in enumerate(begun):
            assert 0 <= round(moment - place / 40, 5) < MAX_SLOT_DELAY
        sent = Message.objects.filter(status="success")
        assert set(sent.values_list("attempts", flat=True)) == {1}
        assert sent.count() + untouched() == 150

    def test_what_was_too_much_at_a_moment_does_not_open_it(
        self, mailing: "Mailing", add: Add, scripted: Scripted
    ) -> None:
        add(2 * FAILURES_TO_OPEN)
        scripted(FAILURES_TO_OPEN, lambda each: each.answer(status=429, is_excess=True))
        assert deliver(mailing.pk) == 2 * FAILURES_TO_OPEN
        assert not SendingControl.objects.current().opened_at
        assert Message.objects.filter(error_code="throttled").count() == 2 * FAILURES_TO_OPEN

    def test_a_probe_that_was_too_much_has_failed_all_the_same(
        self, mailing: "Mailing", add: Add, scripted: Scripted, now: datetime
    ) -> None:
        add(3)
        SendingControl.objects.update(opened_at=now, probe_at=now - SECOND, probe_interval=2)
        scripted(3, lambda each: each.answer(status=429, is_excess=True))
        assert deliver(mailing.pk) == 1
        assert SendingControl.objects.current().opened_at
        assert SendingControl.objects.current().probe_interval == 4

    def test_sending_goes_on_with_the_right_token(
        self,
        mailing: "Mailing",
        add: Add,
        sender: Sandbox,
        settings: Settings,
        now: datetime,
    ) -> None:
        settings.MESSAGE_SENDER_CONCURRENCY = 2
        add(5)
        sender.set_faults(token_revoked=True)
        deliver(mailing.pk)
        assert sender.stats()["statuses"]["401"] <= 4
        sender.set_faults()
        assert deliver(mailing.pk) == 0
        control.probe_now(now=now)
        assert deliver(mailing.pk) == 5
        assert Message.objects.filter(status="success").count() == sender.stats()["unique"] == 5

    def test_a_wrong_address_fails_nobody_and_the_right_one_reaches_all(
        self,
        mailing: "Mailing",
        add: Add,
        sender: Sandbox,
        settings: Settings,
        now: datetime,
    ) -> None:
        settings.MESSAGE_SENDER_CONCURRENCY = 5
        settings.MESSAGE_SENDER_URL = sender.api_url.replace("/v1", "/v2")
        engine.transport.cache_clear()
        add(60)
        deliver(mailing.pk)
        assert "Check MESSAGE_SENDER_URL." in SendingControl.objects.current().reason
        assert Message.objects.filter(status="pending").count() == 60
        assert untouched() > 0
        settings.MESSAGE_SENDER_URL = sender.api_url
        engine.transport.cache_clear()
        control.probe_now(now=now)
        assert deliver(mailing.pk) == 60
        assert Message.objects.filter(status="success").count() == sender.stats()["unique"] == 60
