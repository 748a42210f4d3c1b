"""The schedule: ticks that nobody can break, and tasks that somebody adds."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.urls import reverse
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
)

from mailing_manager_project import checks, ticks
from mailing_manager_project.admin.schedule import next_run, often

pytestmark = pytest.mark.django_db

LIST = reverse("admin:django_celery_beat_periodictask_changelist")
ADD = reverse("admin:django_celery_beat_periodictask_add")
FORM = {
    "name": "mine",
    "task": "start_mailing",
    "enabled": "on",
    "kwargs": "{}",
    "rhythm": "every",
    "every": "2",
    "period": "hours",
    "zone": "UTC",
}
NOW = datetime(2030, 1, 31, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def browser(client: Browser) -> Browser:
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture(autouse=True)
def _ticks() -> None:
    # A test that ran before may have emptied all tables.
    ticks.restore(apps.get_app_config("webhooks"))


def page_of(task: PeriodicTask, page: str) -> str:
    return reverse(f"admin:django_celery_beat_periodictask_{page}", args=[task.pk])


def shown(browser: Browser) -> str:
    page = browser.get(LIST).content.decode()
    return re.sub(r">\s+", ">", page)


def broken() -> list[str]:
    return [tick.name for tick in ticks.broken(PeriodicTask.objects)]


@pytest.mark.parametrize("name", ticks.NAMES)
def test_a_tick_can_be_neither_edited_nor_deleted_nor_switched_off(
    name: str, browser: Browser
) -> None:
    tick = PeriodicTask.objects.get(name=name)
    before = PeriodicTask.objects.filter(pk=tick.pk).values().get()

    browser.post(page_of(tick, "change"), {**FORM, "name": "other"})
    browser.post(page_of(tick, "delete"), {"post": "yes"})
    for action in ("disable_tasks", "delete_selected"):
        chosen = {"action": action, "_selected_action": tick.pk, "post": "yes"}
        browser.post(LIST, chosen)

    assert PeriodicTask.objects.filter(pk=tick.pk).values().get() == before


@pytest.mark.parametrize("change", [{"enabled": False}, {"name": "other"}, {"task": "nothing"}])
def test_what_is_done_to_a_tick_below_the_console_is_noticed_and_mended(
    change: dict[str, Any], browser: Browser
) -> None:
    PeriodicTask.objects.filter(name="send_message").update(**change)
    assert broken() == ["send_message"]
    assert [each.id for each in checks.check_ticks()] == ["mailing_manager.W008"]
    assert ">missing" in shown(browser)

    ticks.restore(apps.get_app_config("webhooks"))

    assert broken() == []
    assert checks.check_ticks() == []
    assert ">missing" not in shown(browser)


def test_beat_is_told_that_a_tick_is_back() -> None:
    PeriodicTask.objects.filter(name="send_message").delete()
    long_ago = NOW - timedelta(days=10_000)
    PeriodicTasks.objects.update_or_create(ident=1, defaults={"last_update": long_ago})

    ticks.restore(apps.get_app_config("webhooks"))

    assert PeriodicTasks.objects.get(ident=1).last_update > long_ago
    tick = PeriodicTask.objects.get(name="send_message")
    assert (tick.interval.every, tick.interval.period) == (5, "seconds")


def test_how_often_a_tick_comes_is_left_as_somebody_has_set_it() -> None:
    rare = IntervalSchedule.objects.create(every=7, period="minutes")
    PeriodicTask.objects.filter(name="start_mailing").update(interval=rare, enabled=False)

    ticks.restore(apps.get_app_config("webhooks"))

    assert PeriodicTask.objects.get(name="start_mailing").interval == rare


def test_the_page_says_what_the_ticks_are_for(browser: Browser) -> None:
    page = browser.get(LIST).content.decode()

    assert "Looks for mailings to start" in page
    assert "Every 5 seconds" in page
    assert "Every minute" in page


def test_a_task_is_added_that_runs_every_so_often(browser: Browser) -> None:
    assert browser.post(ADD, FORM).status_code == 302

    task = PeriodicTask.objects.get(name="mine")
    assert (task.task, often(task)) == ("start_mailing", "every 2 hours")
    assert '"2"' in browser.get(page_of(task, "change")).content.decode()


def test_a_task_is_added_that_runs_at_set_times(browser: Browser) -> None:
    zone = {"rhythm": "times", "times": "0 9 * * 1-5", "zone": "Europe/Moscow"}
    assert browser.post(ADD, {**FORM, **zone}).status_code == 302

    task = PeriodicTask.objects.get(name="mine")
    assert (task.crontab.hour, str(task.crontab.timezone)) == ("9", "Europe/Moscow")
    assert "0 9 * * 1-5" in browser.get(page_of(task, "change")).content.decode()

    assert browser.post(page_of(task, "change"), FORM).status_code == 302
    task.refresh_from_db()
    assert (task.crontab, often(task)) == (None, "every 2 hours")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "send_message"},
        {"task": ""},
        {"every": ""},
        {"every": "0"},
        {"rhythm": "times", "times": ""},
        {"rhythm": "times", "times": "0 9 *"},
        {"rhythm": "times", "times": "0 99 * * *"},
        {"kwargs": "[1]"},
        {"kwargs": "{"},
    ],
)
def test_a_task_without_sense_is_refused(wrong: dict[str, str], browser: Browser) -> None:
    PeriodicTask.objects.filter(name="send_message").delete()

    assert browser.post(ADD, {**FORM, **wrong}).status_code == 200

    assert not PeriodicTask.objects.filter(name__in=("mine", "send_message")).exists()


def test_the_selected_tasks_are_deleted_once_that_is_confirmed(browser: Browser) -> None:
    times = IntervalSchedule.objects.create(every=7, period="hours")
    tasks = [PeriodicTask.objects.create(name=f"mine {i}", interval=times) for i in range(3)]
    selected = {"action": "delete_selected", "_selected_action": [task.pk for task in tasks[:2]]}
    mine = PeriodicTask.objects.filter(name__startswith="mine").order_by("name")

    page = browser.post(LIST, selected).content.decode()

    assert "Delete what is selected: 2?" in page
    assert ["mine 0:" in page, "mine 1:" in page, "mine 2:" in page] == [True, True, False]
    assert mine.count() == 3

    browser.post(LIST, {**selected, "post": "yes"})
    assert list(mine) == tasks[2:]


def test_the_starts_of_mailings_are_no_custom_tasks(browser: Browser) -> None:
    at = ClockedSchedule.objects.create(clocked_time=NOW)
    PeriodicTask.objects.create(
        name="start mailing 5 on time", task="start_mailing", clocked=at, one_off=True
    )

    assert "start mailing 5" not in browser.get(LIST).content.decode()


def test_when_a_task_runs_next() -> None:
    minute, _ = IntervalSchedule.objects.get_or_create(every=60, period="seconds")
    task = PeriodicTask(name="mine", task="start_mailing", interval=minute)
    assert next_run(task, NOW - MINUTE / 2, NOW) == NOW + MINUTE / 2
    assert next_run(task, NOW - 5 * MINUTE / 2, NOW) == NOW + MINUTE / 2
    assert next_run(task, None, NOW) == NOW + MINUTE

    hourly = CrontabSchedule.objects.create(minute="0")
    task = PeriodicTask(name="mine", task="start_mailing", crontab=hourly)
    coming = next_run(task, None, datetime.now(UTC))
    assert coming is not None
    assert timedelta() <= coming - datetime.now(UTC) <= timedelta(hours=1)

    assert next_run(PeriodicTask(enabled=False, interval=minute), NOW, NOW) is None
