"""Whoever stands still is restarted, and nobody who has a good excuse."""

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import InterfaceError, connection
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from pytest_django import Settings

from mailing_manager_project.launcher import watchdog
from mailing_manager_project.launcher.watchdog import (
    FRESH,
    SHORTEST_STALL,
    SIGNS,
    Watchdog,
    stall_timeout,
)
from messages_app.engine.leasing import lease_length
from messages_app.models import Heartbeat
from tests.servers import free_port
from toolkit import clock

# Not in a transaction, because the watchdog leaves no connection open.
pytestmark = pytest.mark.django_db(transaction=True)

SECOND = timedelta(seconds=1)
TICKS = {"start_mailing": 60, "send_message": 5}  # seconds


class World:
    """The programs as the watchdog sees them, on a clock that does not go by itself."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.has_broker = True
        self.restarted: list[str] = []
        for task, every in TICKS.items():
            interval, _ = IntervalSchedule.objects.get_or_create(every=every, period="seconds")
            PeriodicTask.objects.update_or_create(
                name=task, defaults={"task": task, "interval": interval, "enabled": True}
            )

    def answers(self) -> bool:
        return self.has_broker

    def monotonic(self) -> float:
        return self.seconds

    def show_signs(self, **ages: timedelta) -> None:
        """Have the heartbeats be so old; all that are not named were left just now."""
        for sign in SIGNS.values():
            at = clock.now() - ages.get(sign, timedelta())
            Heartbeat.objects.update_or_create(name=sign, defaults={"at": at})

    def watch(self, dog: Watchdog, time: timedelta) -> list[str]:
        """Have it look every ten seconds for so long; return what it restarted."""
        end = self.seconds + time.total_seconds()
        while self.seconds < end:
            self.seconds += min(10, end - self.seconds)
            dog.look()
        restarted, self.restarted = self.restarted, []
        return restarted


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(watchdog, "monotonic", world.monotonic)
    return world


@pytest.fixture
def dog(world: World) -> Watchdog:
    broker: Any = world
    return Watchdog(broker, lambda name: world.restarted.append(name), stall_timeout=SHORTEST_STALL)


@pytest.fixture
def away(world: World) -> Iterator[Callable[[], None]]:
    """Return a function that takes the database away until the end of the test."""
    with pytest.MonkeyPatch.context() as patch:

        def take_away() -> None:
            connection.close()
            patch.setitem(connection.settings_dict, "PORT", str(free_port()))
            if connection.vendor == "sqlite":
                patch.setitem(connection.settings_dict, "NAME", "/nowhere/db.sqlite3")

        yield take_away
    connection.close()


STALE = FRESH + SECOND
LONG = SHORTEST_STALL + 10 * SECOND


def test_whoever_shows_heartbeats_is_left_alone(world: World, dog: Watchdog) -> None:
    world.show_signs(**dict.fromkeys(SIGNS.values(), FRESH - 10 * SECOND))
    assert world.watch(dog, LONG) == []


@pytest.mark.parametrize(
    ("sign", "name"),
    [("beat", "beat"), ("start_mailing", "mailings"), ("send_message", "messages")],
)
def test_a_program_that_shows_no_heartbeat_is_restarted_in_the_end(
    world: World, dog: Watchdog, sign: str, name: str
) -> None:
    world.show_signs(**{sign: STALE})
    assert world.watch(dog, SHORTEST_STALL) == []
    assert world.watch(dog, 10 * SECOND) == [name]


def test_a_slow_sender_makes_it_wait_longer_than_a_delivery_takes(settings: Settings) -> None:
    settings.MESSAGE_SENDER_TIMEOUT = 10
    assert stall_timeout() == SHORTEST_STALL
    settings.MESSAGE_SENDER_TIMEOUT = 100
    assert stall_timeout() > lease_length() + timedelta(seconds=100)


def test_a_program_that_never_showed_a_heartbeat_is_restarted_too(
    world: World, dog: Watchdog
) -> None:
    assert world.watch(dog, LONG) == ["beat"]
    Heartbeat.objects.create(name="beat", at=clock.now())
    assert world.watch(dog, LONG) == ["mailings", "messages"]


def test_it_then_has_as_long_again_to_show_some(world: World, dog: Watchdog) -> None:
    world.show_signs(send_message=STALE)
    assert world.watch(dog, LONG) == ["messages"]
    assert world.watch(dog, SHORTEST_STALL) == []
    assert world.watch(dog, 10 * SECOND) == ["messages"]


def test_a_sign_in_between_is_all_that_is_asked_for(world: World, dog: Watchdog) -> None:
    for _ in range(3):
        world.show_signs(send_message=STALE)
        assert world.watch(dog, SHORTEST_STALL) == []
        world.show_signs()
        assert world.watch(dog, 10 * SECOND) == []


def test_without_a_clock_only_the_clock_is_restarted(world: World, dog: Watchdog) -> None:
    world.show_signs(beat=STALE, start_mailing=STALE, send_message=STALE)
    assert world.watch(dog, LONG) == ["beat"]


def test_the_others_then_have_all_their_time(world: World, dog: Watchdog) -> None:
    world.show_signs(beat=STALE, send_message=STALE)
    assert world.watch(dog, LONG) == ["beat"]
    world.show_signs(send_message=STALE)
    assert world.watch(dog, SHORTEST_STALL) == []
    assert world.watch(dog, 10 * SECOND) == ["messages"]


def test_without_a_broker_no_worker_is_to_blame_but_beat_is(world: World, dog: Watchdog) -> None:
    world.has_broker = False
    world.show_signs(start_mailing=STALE, send_message=STALE)
    assert world.watch(dog, LONG) == []
    world.show_signs(beat=STALE)
    assert world.watch(dog, LONG) == ["beat"]


def test_once_the_broker_is_back_workers_have_all_their_time(world: World, dog: Watchdog) -> None:
    world.show_signs(send_message=STALE)
    world.has_broker = False
    world.watch(dog, LONG)
    world.has_broker = True
    assert world.watch(dog, SHORTEST_STALL) == []
    assert world.watch(dog, 10 * SECOND) == ["messages"]


def test_a_broker_is_not_asked_while_all_is_well(
    world: World, dog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "answers", lambda: pytest.fail("There was no need."))
    world.show_signs()
    assert world.watch(dog, 30 * SECOND) == []


def test_without_a_database_nobody_is_to_blame(
    world: World, dog: Watchdog, away: Callable[[], None]
) -> None:
    world.show_signs(beat=STALE)
    away()
    assert world.watch(dog, LONG) == []


def test_nobody_is_to_blame_when_the_connection_to_the_database_breaks(
    world: World, dog: Watchdog
) -> None:
    def fail(*arguments: Any) -> Any:
        raise InterfaceError("The connection is closed.")

    world.show_signs(beat=STALE)
    with connection.execute_wrapper(fail):
        assert world.watch(dog, LONG) == []
    assert world.watch(dog, LONG) == ["beat"]


@pytest.mark.parametrize("task", TICKS)
def test_an_operator_may_switch_a_tick_off(world: World, dog: Watchdog, task: str) -> None:
    PeriodicTask.objects.filter(name=task).update(enabled=False)
    world.show_signs(**{task: STALE})
    assert world.watch(dog, LONG) == []


@pytest.mark.parametrize("task", TICKS)
def test_an_operator_may_delete_a_tick(world: World, dog: Watchdog, task: str) -> None:
    PeriodicTask.objects.filter(name=task).delete()
    world.show_signs(**{task: STALE})
    assert world.watch(dog, LONG) == []


def test_an_operator_may_have_a_tick_less_often(world: World, dog: Watchdog) -> None:
    rare = IntervalSchedule.objects.create(every=5, period="minutes")
    PeriodicTask.objects.filter(name="start_mailing").update(interval=rare)
    hourly = CrontabSchedule.objects.create(minute="0")
    PeriodicTask.objects.filter(name="send_message").update(interval=None, crontab=hourly)
    world.show_signs(start_mailing=STALE, send_message=STALE)
    assert world.watch(dog, LONG) == []


def test_an_operator_may_give_a_tick_another_name(world: World, dog: Watchdog) -> None:
    PeriodicTask.objects.filter(name="send_message").update(name="every five seconds")
    world.show_signs(send_message=STALE)
    assert world.watch(dog, LONG) == ["messages"]


def test_no_connection_is_left_open(world: World, dog: Watchdog) -> None:
    world.show_signs()
    dog.look()
    assert connection.connection is None


def test_it_looks_again_and_again_whatever_goes_wrong(
    world: World,
    dog: Watchdog,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        world.seconds += LONG.total_seconds()
        if len(naps) > 3:
            raise KeyboardInterrupt

    def restart(name: str) -> None:
        world.restarted.append(name)
        raise RuntimeError("on purpose")

    monkeypatch.setattr(watchdog, "sleep", nap)
    monkeypatch.setattr(dog, "_restart", restart)
    world.show_signs(beat=STALE)
    with pytest.raises(KeyboardInterrupt):
        dog._watch()
    assert world.restarted == ["beat"] * 3
    assert set(naps) == {watchdog.LOOK_INTERVAL}
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [error.getMessage() for error in errors] == ["The watchdog could not look."] * 3
