"""The tick and the tasks it rings for, called as functions."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.db import InternalError, connection, transaction
from django.db.migrations.loader import MigrationLoader
from django_celery_beat.models import PeriodicTask
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from clients.models import Client
from mailings import preparing, services, tasks
from mailings.models import Mailing
from mailings.tasks import apply_on_commit, finish_mailing, send_message, start_mailing
from messages_app.ledger.posting import packed
from messages_app.models import Doorbell, Heartbeat, Lease, LeasedBatch, Line, Message
from messages_app.sending import home
from messages_app.tests.scripted import idle_in_transaction
from toolkit import clock
from toolkit.outages import tolerate_database_outage

pytestmark = pytest.mark.django_db

MakeClients = Callable[..., list[Client]]
MakeMailing = Callable[..., Mailing]
Queued = Callable[[], list[tuple[Any, ...]]]

MINUTE = timedelta(minutes=1)
TICKS = ("start_mailing", "finish_mailing", "send_message")


@pytest.fixture(autouse=True)
def _few_are_many(settings: Settings) -> None:
    """Have three messages be more than one sending process takes at once."""
    settings.MESSAGE_SENDER_CONCURRENCY = 1


def both_lanes(mailing: Mailing) -> list[tuple[Any, ...]]:
    return [("send_message", mailing.pk, 0), ("send_message", mailing.pk, 1)]


def seed() -> None:
    """Do what the migrations do, with the models of their time."""
    loader = MigrationLoader(connection)
    for app, name in (
        ("mailings", "0002_tick_every_minute"),
        ("messages_app", "0004_tick_of_sending"),
    ):
        apps = loader.project_state((app, name)).apps
        import_module(f"{app}.migrations.{name}").seed(apps, None)


def test_the_tasks_have_the_names_that_others_depend_on() -> None:
    assert (start_mailing.name, finish_mailing.name) == ("start_mailing", "finish_mailing")


def test_the_tick_is_put_into_beats_schedule_once_and_is_the_operators_then() -> None:
    seed()
    ticks = PeriodicTask.objects.filter(enabled=True, name__in=TICKS)
    assert {(tick.name, tick.task, tick.schedule.run_every) for tick in ticks} == {
        ("start_mailing", "start_mailing", MINUTE),
        ("finish_mailing", "finish_mailing", MINUTE),
        ("send_message", "send_message", MINUTE / 12),
    }
    PeriodicTask.objects.filter(name__in=TICKS).update(enabled=False)
    seed()
    assert not PeriodicTask.objects.filter(enabled=True, name__in=TICKS).exists()


def test_no_tick_goes_stale_where_clocks_are_minutes_apart_unless_an_operator_says_so() -> None:
    PeriodicTask.objects.filter(name="finish_mailing").update(expire_seconds=20)
    seed()
    ticks = PeriodicTask.objects.filter(name__in=TICKS)
    lives = dict(ticks.values_list("name", "expire_seconds"))
    assert lives == {"start_mailing": 300, "send_message": 300, "finish_mailing": 20}


def test_the_tick_queues_what_has_something_to_do(
    make_clients: MakeClients, make_mailing: MakeMailing, now: datetime, queued: Queued
) -> None:
    due = make_mailing(status="scheduled")
    stale = make_mailing(last_run_time=now - timedelta(hours=1))
    make_mailing(last_run_time=now)
    make_mailing(status="paused")
    start_mailing()
    assert sorted(queued()) == [("start_mailing", due.pk), ("start_mailing", stale.pk)]


def test_the_tick_sees_to_the_messages_of_dead_workers(
    make_clients: MakeClients, make_mailing: MakeMailing, now: datetime, queued: Queued
) -> None:
    dead, _ = mailings = [make_mailing(last_run_time=now) for _ in range(2)]
    for mailing, until in zip(mailings, (now, now + MINUTE), strict=True):
        lease = Lease.objects.create(token=-mailing.pk, mailing=mailing, expires_at=until)
        message = Message.objects.create(
            mailing=mailing,
            client=make_clients(1)[0],
            next_attempt_at=now,
            lease_token=lease.token,
            lease_until=lease.expires_at,
        )
        LeasedBatch.objects.create(token=lease.token, message_ids=packed([message.pk]))
    start_mailing()
    assert queued() == [("start_mailing", dead.pk)]


def test_one_task_starts_all_that_wait_and_has_the_large_ones_planned_by_tasks_of_their_own(
    make_clients: MakeClients,
    make_mailing: MakeMailing,
    queued: Queued,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preparing, "STARTED_AT_ONCE", 1)
    monkeypatch.setattr("messages_app.engine.planning.SMALL", 2)
    make_clients(3)
    first, _, large = mailings = [
        make_mailing(status="scheduled", filters=filters)
        for filters in ({"tag": "nobody"}, {"tag": "nobody"}, {})
    ]
    start_mailing(first.pk)
    for mailing in mailings:
        mailing.refresh_from_db()
        assert (mailing.status, bool(mailing.last_run_time)) == ("running", mailing != large)
    assert queued() == [("start_mailing", large.pk)]


def test_a_task_whose_time_is_up_leaves_the_others_to_the_next(
    make_mailing: MakeMailing, queued: Queued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "STARTED_AT_ONCE", 1)
    monkeypatch.setattr(tasks, "PLAN_TIME_BOX", 0)
    first, _ = (make_mailing(status="scheduled") for _ in range(2))
    start_mailing(first.pk)
    assert Mailing.objects.filter(status="scheduled").count() == 1
    assert queued() == [("start_mailing", first.pk)]


def test_of_many_that_are_saved_together_one_task_is_queued(
    make_mailing: MakeMailing,
    queued: Queued,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    first, *_ = mailings = [make_mailing(status="scheduled") for _ in range(3)]
    with django_capture_on_commit_callbacks(execute=True):
        for mailing in mailings:
            apply_on_commit(mailing)
    assert queued() == [("start_mailing", first.pk)]


def test_a_mailing_whose_time_has_come_is_started_planned_and_rung_for(
    make_clients: MakeClients, make_mailing: MakeMailing, queued: Queued
) -> None:
    make_clients(3)
    mailing = make_mailing(status="scheduled")
    start_mailing(mailing.pk)
    mailing.refresh_from_db()
    assert (mailing.status, Message.objects.count()) == ("running", 3)
    assert queued() == both_lanes(mailing)


def test_starting_it_again_rings_for_nothing_new(
    make_clients: MakeClients, make_mailing: MakeMailing, queued: Queued
) -> None:
    make_clients(3)
    mailing = make_mailing(status="scheduled")
    for _ in range(10):
        start_mailing(mailing.pk)
    assert Message.objects.count() == 3
    assert queued() == both_lanes(mailing)


def test_one_that_was_planned_just_now_is_left_to_who_rang_for_it_until_somebody_resumes_it(
    make_clients: MakeClients, make_mailing: MakeMailing, queued: Queued
) -> None:
    make_clients(1)
    mailing = make_mailing(status="scheduled")
    start_mailing(mailing.pk)
    assert queued() == [("send_message", mailing.pk, 0)]
    Doorbell.objects.all().delete()
    start_mailing(mailing.pk)
    assert queued() == []
    services.pause_mailing(mailing)
    services.resume_mailing(mailing, now=clock.now())
    start_mailing(mailing.pk)
    assert queued() == [("send_message", mailing.pk, 0)]


def test_a_planned_mailing_with_due_messages_is_rung_for(
    make_clients: MakeClients, make_mailing: MakeMailing, now: datetime, queued: Queued
) -> None:
    mailing = make_mailing(last_run_time=now)
    for client in make_clients(2):
        Message.objects.create(mailing=mailing, client=client, next_attempt_at=now)
    Line.objects.lengthen(mailing.pk)
    start_mailing(mailing.pk)
    assert queued() == both_lanes(mailing)


def test_sending_begins_before_a_long_plan_ends(
    make_clients: MakeClients,
    make_mailing: MakeMailing,
    queued: Queued,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preparing, "PLAN_CHUNK", 2)
    monkeypatch.setattr(tasks, "PLAN_TIME_BOX", 0)
    make_clients(5)
    mailing = make_mailing()
    start_mailing(mailing.pk)
    assert Message.objects.count() == 2
    assert queued() == [("start_mailing", mailing.pk), *both_lanes(mailing)]
    start_mailing(mailing.pk)
    start_mailing(mailing.pk)
    assert Message.objects.count() == 5
    assert queued() == [("start_mailing", mailing.pk)]


@pytest.mark.parametrize("status", ["paused", "finished", "cancelled"])
def test_nothing_is_rung_for_what_does_not_run(
    make_clients: MakeClients, make_mailing: MakeMailing, queued: Queued, status: str
) -> None:
    make_clients(1)
    start_mailing(make_mailing(status=status).pk)
    assert queued() == []


def test_a_mailing_of_zero_clients_is_started_and_not_rung_for(
    make_mailing: MakeMailing, queued: Queued
) -> None:
    mailing = make_mailing(status="scheduled")
    start_mailing(mailing.pk)
    mailing.refresh_from_db()
    assert mailing.status == "running"
    assert mailing.last_run_time
    assert queued() == []


@pytest.mark.django_db(transaction=True)
def test_a_mailing_deleted_before_its_task_came_is_nobodys_error(queued: Queued) -> None:
    start_mailing(10**9)
    finish_mailing(10**9)
    assert queued() == []


def test_the_finishing_tick_queues_what_is_over(
    make_mailing: MakeMailing, now: datetime, queued: Queued
) -> None:
    cancelled = make_mailing(status="cancelled")
    expired = make_mailing(stop_time=now)
    make_mailing()
    make_mailing(status="finished", success_count=0, fail_count=0)
    finish_mailing()
    assert sorted(queued()) == [("finish_mailing", cancelled.pk), ("finish_mailing", expired.pk)]


def test_finishing_closes_a_mailing(make_mailing: MakeMailing, now: datetime) -> None:
    mailing = make_mailing(stop_time=now)
    finish_mailing(mailing.pk)
    mailing.refresh_from_db()
    assert (mailing.status, mailing.success_count, mailing.fail_count) == ("finished", 0, 0)


def test_other_mailings_have_their_turn_while_a_large_one_is_closed(
    make_clients: MakeClients,
    make_mailing: MakeMailing,
    now: datetime,
    queued: Queued,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("messages_app.services.FAIL_CHUNK", 2)
    monkeypatch.setattr(tasks, "FINISH_TIME_BOX", 0)
    make_clients(5)
    mailing = make_mailing()
    preparing.plan_chunk(mailing.pk, now=now)
    services.cancel_mailing(mailing)
    failed = []
    for _ in range(3):
        finish_mailing(mailing.pk)
        failed.append(Message.objects.filter(status="fail").count())
        assert queued() == [("finish_mailing", mailing.pk)]
    assert failed == [2, 4, 5]
    finish_mailing(mailing.pk)
    assert queued() == []
    assert Mailing.objects.get().is_closed


@pytest.mark.parametrize("task", [start_mailing, send_message])
def test_whether_the_database_is_a_copy_is_looked_at_before_anything_else(
    task: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeat would pass for the last one of before."""
    was_at_work: list[bool] = []

    def check(*, now: datetime) -> None:
        was_at_work.append(Heartbeat.objects.exists())

    monkeypatch.setattr(home, "check", check)
    Heartbeat.objects.all().delete()
    task()
    assert was_at_work == [False]
    assert Heartbeat.objects.exists()


@pytest.mark.parametrize(
    ("status", "task"),
    [
        ("scheduled", "start_mailing"),
        ("running", "start_mailing"),
        ("cancelled", "finish_mailing"),
    ],
)
def test_a_saved_mailing_takes_effect_once_it_is_committed(
    make_mailing: MakeMailing,
    queued: Queued,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    status: str,
    task: str,
) -> None:
    mailing = make_mailing(status=status)
    with django_capture_on_commit_callbacks(execute=True):
        apply_on_commit(mailing)
        assert queued() == []
    assert queued() == [(task, mailing.pk)]


@pytest.mark.django_db(transaction=True)
def test_a_mailing_that_was_not_saved_has_no_effect(
    make_mailing: MakeMailing, queued: Queued
) -> None:
    with transaction.atomic():
        apply_on_commit(make_mailing())
        transaction.set_rollback(True)
    assert queued() == []


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_session_that_postgres_ended_idle_costs_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with tolerate_database_outage("Planning"):
        idle_in_transaction()
    connection.close()
    (line,) = (each for each in caplog.records if each.levelno >= logging.WARNING)
    assert line.getMessage().startswith("Planning waits for the database, which does not answer: ")


def test_an_internal_error_of_the_database_is_no_outage() -> None:
    with pytest.raises(InternalError), tolerate_database_outage("Planning"):
        raise InternalError("A page of an index is broken.")


@pytest.mark.usefixtures("no_broker")
def test_a_broker_that_is_down_costs_a_saved_mailing_one_line_in_the_log(
    make_mailing: MakeMailing,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mailing = make_mailing()
    with django_capture_on_commit_callbacks(execute=True):
        apply_on_commit(mailing)
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    (line,) = lines
    assert line.getMessage().startswith(f"start_mailing({mailing.pk},) waits for the next tick")
