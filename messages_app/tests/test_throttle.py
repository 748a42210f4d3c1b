"""The throttle finds how much a sender takes, in a simulated time. No number is configured."""

from functools import partial
from typing import Any

import pytest

from messages_app.sender import Answer, Failure
from messages_app.sender.throttle import START, Throttle
from messages_app.sending.control import FAILURES_TO_OPEN
from messages_app.tests.simulated import Sender, World


def begun(throttle: Throttle, number: int, *, first: int = 1) -> range:
    """Begin so many requests and return their ids."""
    ids = range(first, first + number)
    for pk in ids:
        throttle.begin(pk)
    return ids


class TestGrowth:
    def test_few_are_allowed_at_first(self) -> None:
        assert Throttle(500).allowed == Throttle(500).room(0.0) == START

    def test_never_more_than_the_most(self) -> None:
        assert Throttle(3).room(0.0) == 3
        world = World(Sender(), most=37)
        world.run(2)
        assert world.windows == [37, 37]

    @pytest.mark.parametrize("latency", [0.005, 0.05, 0.5])
    def test_they_are_multiplied_with_each_round_trip_while_latency_stays(
        self, latency: float
    ) -> None:
        world = World(Sender(latency=latency), processes=1, most=320)
        world.run(9.5 * latency, step=latency / 50)
        assert world.windows == [320]

    def test_a_fast_sender_gets_400_open_requests_in_half_a_second(self) -> None:
        world = World(Sender(latency=0.05))
        world.run(0.5)
        assert sum(world.windows) >= 400

    def test_what_is_not_used_does_not_grow(self) -> None:
        throttle = Throttle(500)
        for second in range(100):
            ids = begun(throttle, START - 1, first=100 * second)
            answers = [Answer(pk, status=200, latency=0.05) for pk in ids]
            throttle.hear(answers, float(second))
        assert throttle.allowed == START

    def test_slow_answers_of_others_are_not_the_senders(self) -> None:
        """Answers other than 200 say nothing about how long an accepted message takes."""
        throttle = Throttle(500)
        ids = begun(throttle, START)
        throttle.hear([Answer(pk, status=400, latency=9) for pk in ids], 1.0)
        assert throttle.allowed == START


class TestLatency:
    def test_no_queue_of_seconds_builds_up_at_a_sender_with_few_servers(self) -> None:
        world = World(Sender(latency=0.05, servers=40, jitter=0.3))
        world.run(5)
        assert world.run(5) == pytest.approx(800, rel=0.03)  # all that 40 servers can
        assert sum(world.windows) < 5 * 40

    def test_a_busy_machine_is_given_the_benefit_of_the_doubt(self) -> None:
        """Ten milliseconds more are what one's own loop may take: they must not narrow it."""
        sender = Sender(latency=0.001)
        world = World(sender, processes=1, most=100)
        world.run(1)
        sender.latency = 0.011
        world.run(1)
        assert world.windows == [100]

    def test_a_sender_that_has_become_slow_is_tried_with_few_and_then_believed(self) -> None:
        sender = Sender(latency=0.01)
        world = World(sender, most=200)
        world.run(2)
        assert world.windows == [200, 200]
        sender.latency = 1.0
        world.run(5.5)
        assert world.windows == [START, START]
        world.run(14.5)
        assert world.windows == [200, 200]


class TestRefusals:
    @pytest.mark.parametrize("latency", [0.0005, 0.005, 0.05])
    def test_a_rate_limit_is_kept_to(self, latency: float) -> None:
        world = World(Sender(latency=latency, rate=1000))
        run = partial(world.run, 30, step=min(0.001, latency / 2))
        assert world.refused_while(run) < 0.02
        assert world.refused_while(lambda: None if run() > 950 else pytest.fail("too slow")) < 0.01

    @pytest.mark.parametrize("most_open", [10, 50, 200])
    def test_so_is_a_limit_of_open_requests(self, most_open: int) -> None:
        world = World(Sender(most_open=most_open))
        assert world.refused_while(partial(world.run, 20)) < 0.02
        assert world.run(20) > 0.9 * most_open / 0.05

    def test_an_overshoot_of_the_start_does_not_open_the_breaker(self) -> None:
        for sender in (
            Sender(rate=1000),
            Sender(rate=1000, latency=0.0005),
            Sender(rate=100, latency=0.0005),
            Sender(most_open=50),
            Sender(most_open=4),
        ):
            world = World(sender)
            world.run(5, step=min(0.001, sender.latency / 2))
            assert world.refused
            assert world.longest_row < FAILURES_TO_OPEN / 2, sender

    def test_processes_come_to_share_the_sender(self) -> None:
        world = World(Sender(rate=1000), processes=1)
        world.run(10)
        world.throttles.append(Throttle(500))
        world._ways.append([])
        world.run(60)
        assert min(world.windows) > 0.2 * sum(world.windows)

    def test_what_is_taken_back_is_found_again(self) -> None:
        sender = Sender(rate=1000)
        world = World(sender)
        world.run(10)
        sender.rate = 200
        assert world.refused_while(partial(world.run, 10)) < 0.1
        assert world.run(5) > 180
        sender.rate = 1000
        world.run(40)
        assert world.run(10) > 900

    @pytest.mark.parametrize("answer", [{"status": 503}, {"failure": Failure.NOT_CONNECTED}])
    def test_an_outage_opens_the_breaker_and_gets_few_requests(
        self, answer: dict[str, Any]
    ) -> None:
        sender = Sender()
        world = World(sender)
        world.run(3)
        sender.answer = answer
        sender.latency = 0
        world.run(1)  # until what was open is answered
        refused = world.refused
        world.run(4)
        assert world.longest_row >= FAILURES_TO_OPEN
        assert world.refused - refused < 60

    def test_after_an_outage_it_is_soon_as_fast_as_before(self) -> None:
        sender = Sender(latency=0.05)
        world = World(sender, most=100)
        world.run(3)
        sender.answer = {"status": 503}
        world.run(5)
        assert sum(world.windows) <= 2
        sender.answer = None
        world.run(20)
        assert world.windows == [100, 100]

    @pytest.mark.parametrize("flaky", [0.01, 0.1])
    def test_refusals_that_come_however_few_are_open_do_not_stop_everything(
        self, flaky: float
    ) -> None:
        world = World(Sender(flaky=flaky))
        world.run(20)
        assert world.run(20) > 500

    def test_it_is_never_slower_than_a_few_messages_a_second(self) -> None:
        world = World(Sender(answer={"status": 429}), processes=1)
        world.run(10)
        refused = world.refused
        world.run(10)
        assert 40 <= world.refused - refused <= 60


class TestExcess:
    def test_refusals_beside_acceptances_are_excess(self) -> None:
        throttle = Throttle(500)
        begun(throttle, 4)
        answers = [
            Answer(1, status=200),
            Answer(2, status=429),
            Answer(3, failure=Failure.BROKEN),
            Answer(4, status=400),
        ]
        heard = throttle.hear(answers, 1.0)
        assert [answer.is_excess for answer in heard] == [False, True, True, False]
        assert [answer._replace(is_excess=False) for answer in heard] == answers

    def test_a_timeout_never_is(self) -> None:
        throttle = Throttle(500)
        begun(throttle, 2)
        answers = [Answer(1, status=200), Answer(2, failure=Failure.TIMEOUT)]
        assert throttle.hear(answers, 1.0) == answers

    def test_nothing_is_once_nothing_was_accepted_for_seconds(self) -> None:
        throttle = Throttle(500)
        begun(throttle, 2)
        throttle.hear([Answer(1, status=200, latency=0.05)], 1.0)
        for tenth in range(11, 21):
            throttle.hear([], tenth / 10)
        (answer,) = throttle.hear([Answer(2, status=503)], 2.05)
        assert not answer.is_excess

    def test_one_that_nobody_asked_for_is_passed_on(self) -> None:
        throttle = Throttle(500)
        answers = [Answer(99, status=200)]
        assert throttle.hear(answers, 1.0) == answers
        assert throttle.room(1.0) == START


class TestPace:
    def test_there_is_none_before_a_refusal(self) -> None:
        throttle = Throttle(500)
        assert throttle.pause() == 0
        begun(throttle, START)
        assert throttle.pause() == 0

    def test_after_refusals_the_next_request_waits_for_its_moment(self) -> None:
        throttle = Throttle(500)
        for second in range(1, 6):
            ids = begun(throttle, throttle.room(float(second)), first=100 * second)
            throttle.hear([Answer(pk, status=429) for pk in ids], float(second))
        throttle.begin(1)
        pause = throttle.pause()
        assert pause > 0
        assert throttle.room(5.0 + pause / 2) == 0
