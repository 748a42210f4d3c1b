"""Beat ticks, and shows that it does."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError, InterfaceError, InternalError, OperationalError
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from mailing_manager_project import beat
from mailing_manager_project.beat import Scheduler
from mailing_manager_project.celery import app
from messages_app.models import Heartbeat
from toolkit import clock

# Not in a transaction, because beat opens and closes connections as it likes.
pytestmark = pytest.mark.django_db(transaction=True)

SECOND = timedelta(seconds=1)


@pytest.fixture
def scheduler(queued: Callable[[], list[tuple[Any, ...]]]) -> Scheduler:
    """Return beat's scheduler with nothing else to do."""
    PeriodicTask.objects.all().delete()
    return Scheduler(app=app, lazy=True)


def age() -> timedelta:
    return clock.now() - Heartbeat.objects.get(name="beat").at


def test_it_is_the_one_that_beat_runs() -> None:
    assert app.conf.beat_scheduler == f"{Scheduler.__module__}:{Scheduler.__name__}"


def test_a_tick_leaves_a_heartbeat(scheduler: Scheduler) -> None:
    scheduler.tick()
    assert timedelta() <= age() < 5 * SECOND


def test_the_sign_is_renewed_every_few_seconds_and_not_at_every_tick(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = [0.0]
    monkeypatch.setattr(beat, "monotonic", lambda: time[0])
    for time[0], renewed in ((0.0, True), (1.0, False), (4.9, False), (5.0, True), (6.0, False)):
        long_ago = clock.now() - 60 * SECOND
        Heartbeat.objects.update_or_create(name="beat", defaults={"at": long_ago})
        scheduler.tick()
        assert (age() < 5 * SECOND) is renewed


@pytest.mark.parametrize("error", [OperationalError, InterfaceError, InternalError])
def test_without_a_database_it_ticks_on(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail() -> None:
        raise error("It is away.")

    monkeypatch.setattr(scheduler, "_leave_sign", fail)
    assert 0 < scheduler.tick() <= 5
    assert not Heartbeat.objects.exists()


def test_what_was_changed_during_an_outage_is_read_after_it(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler.tick()
    often, _ = IntervalSchedule.objects.get_or_create(every=5, period="seconds")
    PeriodicTask.objects.create(name="it", task="send_message", interval=often)
    # The change is noticed, and then the database is away before the schedule is read.
    read = scheduler.all_as_schedule
    monkeypatch.setattr(scheduler, "all_as_schedule", lambda: fail_with(OperationalError("away")))
    scheduler.tick()
    monkeypatch.setattr(scheduler, "all_as_schedule", read)
    scheduler.tick()
    assert set(scheduler.schedule) == {"it"}


def test_a_mistake_of_ours_is_not_waited_for(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "_leave_sign", lambda: fail_with(DataError("out of range")))
    with pytest.raises(DataError):
        scheduler.tick()


def fail_with(error: Exception) -> None:
    raise error


def test_what_is_due_is_still_queued(
    scheduler: Scheduler, queued: Callable[[], list[tuple[Any, ...]]]
) -> None:
    often, _ = IntervalSchedule.objects.get_or_create(every=5, period="seconds")
    PeriodicTask.objects.create(
        name="it", task="send_message", interval=often, last_run_at=clock.now() - 60 * SECOND
    )
    scheduler.tick()
    assert queued() == [("send_message",)]


def test_what_ran_last_by_a_clock_ahead_of_ours_is_due_an_interval_from_now(
    scheduler: Scheduler,
) -> None:
    often, _ = IntervalSchedule.objects.get_or_create(every=5, period="seconds")
    PeriodicTask.objects.create(
        name="it", task="send_message", interval=often, last_run_at=clock.now() + 120 * SECOND
    )
    assert not scheduler.schedule["it"].is_due().is_due
    assert 4 < scheduler.schedule["it"].is_due().next <= 5
