"""All hosts agree on the time, because it is the database's."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from toolkit import clock
from toolkit.clock import Clock

HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.postgres  # SQLite runs in this process
@pytest.mark.django_db
class TestTheDatabasesTime:
    def test_a_host_whose_clock_is_wrong_makes_no_difference(self) -> None:
        before = timezone.now()
        with time_machine.travel(before + HOUR):
            assert before <= clock.now() < before + HOUR / 2
            assert before <= Clock().now() < before + HOUR / 2

    def test_it_goes_on_within_a_transaction(self) -> None:
        assert connection.in_atomic_block
        first = clock.now()
        assert clock.now() > first


@pytest.mark.django_db
def test_it_is_now() -> None:
    before = timezone.now()
    assert before <= clock.now() <= timezone.now()
    assert clock.now().tzinfo


class TestClock:
    @pytest.fixture
    def ticks(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Return the counter's reading, which the test may change."""
        reading = [1000.0]
        monkeypatch.setattr(clock, "monotonic", lambda: reading[0])
        return reading

    @pytest.fixture
    def times(self, monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
        """Return the moments that the database will say it is, one by one."""
        moments = [NOON]
        monkeypatch.setattr(clock, "now", lambda: moments.pop(0))
        return moments

    def test_the_database_is_asked_once_and_then_the_ticks_are_counted(
        self, ticks: list[float], times: list[datetime]
    ) -> None:
        noon = times[0]
        local_clock = Clock()
        assert local_clock.now() == noon
        ticks[0] += 1.5
        assert local_clock.now() == noon + timedelta(seconds=1.5)
        assert times == []

    @pytest.fixture
    def waits(self, ticks: list[float], monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Return the seconds, to be filled in, that the next answers are under way."""
        waits: list[float] = []

        def answer() -> datetime:
            moment = NOON + timedelta(seconds=ticks[0] - 1000)
            ticks[0] += waits.pop(0)
            return moment

        monkeypatch.setattr(clock, "now", answer)
        return waits

    def test_a_process_that_was_stopped_while_it_asked_asks_again(self, waits: list[float]) -> None:
        waits += [30.0, 0.0]
        assert Clock().now() == NOON + timedelta(seconds=30)

    def test_of_answers_that_all_come_late_the_quickest_is_believed(
        self, waits: list[float]
    ) -> None:
        waits += [3.0, 1.0, 2.0]
        assert Clock().now() == NOON + timedelta(seconds=5)  # and it is 6 seconds past noon

    @pytest.mark.django_db
    def test_it_is_never_ahead_of_the_database(self) -> None:
        local_clock = Clock()
        for _ in range(20):
            assert local_clock.now() <= clock.now()


def test_ticks_do_not_follow_the_clock_on_the_wall() -> None:
    before = clock.monotonic()
    with time_machine.travel(timezone.now() + 1000 * HOUR):
        assert 0 <= clock.monotonic() - before < 600
