"""Whoever wants to know is told once what keeps messages from being sent, and once of its end."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import responses
from django.core import mail
from pytest_django import Settings

from mailing_manager_project import alerts
from mailing_manager_project.beat import Scheduler
from mailing_manager_project.celery import app
from mailings.models import Mailing
from messages_app.admin.now import look
from messages_app.models import Heartbeat, Posting, SendingControl, Trouble
from tests.mail_server import running_mail_server
from toolkit import clock

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
HOOK = "https://chat.example/hooks/secret"


@pytest.fixture
def calls() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as calls:
        calls.post(HOOK)
        yield calls


@pytest.fixture(autouse=True)
def _wanted(settings: Settings) -> None:
    settings.ALERT_RECIPIENTS = ["anna@example.com", "ops@example.com"]
    settings.ALERT_WEBHOOK_URL = HOOK
    settings.DEFAULT_FROM_EMAIL = "mailings@example.com"


@pytest.fixture
def at(db: None, now: datetime) -> Callable[[float], None]:
    """Return a function that watches so many seconds from now."""

    def watch(seconds: float) -> None:
        alerts.watch(look()._replace(now=now + seconds * SECOND))

    return watch


def break_down(now: datetime) -> None:
    SendingControl.objects.update(opened_at=now, probe_at=now, reason="HTTP 503: down")


def mend() -> None:
    SendingControl.objects.update(opened_at=None, probe_at=None, reason="")


def told() -> list[str]:
    return [each.subject.removeprefix("[Mailing Manager] ") for each in mail.outbox]


def posted(calls: responses.RequestsMock) -> list[dict[str, Any]]:
    return [json.loads(call.request.body or "") for call in calls.calls]


DOWN, OVER = "The sender takes no messages", "Over: The sender takes no messages"


def test_its_beginning_and_its_end_are_told_once_each(
    at: Callable[[float], None], now: datetime, calls: responses.RequestsMock
) -> None:
    break_down(now)
    for seconds in (0, 30, 61, 70, 600):
        at(seconds)
    assert told() == [DOWN]
    mend()
    for seconds in (700, 710, 800):
        at(seconds)

    assert told() == [DOWN, OVER]
    first = mail.outbox[0]
    assert (first.to, first.from_email) == (
        ["anna@example.com", "ops@example.com"],
        "mailings@example.com",
    )
    assert "HTTP 503: down" in first.body
    assert "manage.py doctor" in first.body
    began, ended = posted(calls)
    assert (began["type"], began["trouble"], began["ended_at"]) == (
        "trouble.began",
        "breaker",
        None,
    )
    assert began["text"].startswith(f"{DOWN}. The sender has taken no messages since")
    assert (ended["type"], ended["began_at"]) == ("trouble.ended", began["began_at"])
    assert datetime.fromisoformat(ended["ended_at"]) == now + 700 * SECOND
    assert not Trouble.objects.exists()


def test_what_is_soon_over_is_told_to_nobody(
    at: Callable[[float], None], now: datetime, calls: responses.RequestsMock
) -> None:
    break_down(now)
    at(0)
    mend()
    at(30)
    at(100)
    assert (told(), posted(calls)) == ([], [])
    assert not Trouble.objects.exists()


def test_what_comes_again_is_told_again(
    at: Callable[[float], None], now: datetime, calls: responses.RequestsMock
) -> None:
    for begin in (0, 1000):
        break_down(now)
        at(begin)
        at(begin + 61)
        mend()
        at(begin + 100)
    assert told() == [DOWN, OVER, DOWN, OVER]


def test_one_way_that_fails_is_tried_again_and_does_not_hold_up_the_other(
    at: Callable[[float], None],
    now: datetime,
    calls: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls.replace(responses.POST, HOOK, status=500)
    break_down(now)
    for seconds in (0, 61, 70, 122):
        at(seconds)
    assert told() == [DOWN]
    assert len(calls.calls) == 2
    assert "could not be posted: HTTPError" in caplog.text
    assert HOOK not in caplog.text

    calls.replace(responses.POST, HOOK, status=200)
    mend()
    at(200)
    assert told() == [DOWN, OVER]
    assert len(calls.calls) == 2  # It was never told of the beginning.


def test_each_part_that_is_missing_is_a_trouble_of_its_own(
    at: Callable[[float], None], now: datetime, calls: responses.RequestsMock
) -> None:
    for name in ("start_mailing", "send_message"):
        Heartbeat.objects.create(name=name, at=now - 10 * MINUTE)
    at(0)
    at(61)
    assert told() == ["Planning shows no sign of life", "Sending shows no sign of life"]


def test_a_mailing_that_will_miss_its_stop_time_is_told_of_once_that_is_sure(
    at: Callable[[float], None],
    now: datetime,
    calls: responses.RequestsMock,
    make_mailing: Callable[..., Mailing],
) -> None:
    SendingControl.objects.update(rate=1)
    mailing = make_mailing(last_run_time=now, stop_time=now + 60 * MINUTE)
    waits = {"before": "", "after": "pending||0|UTC", "message_ids": b"\0"}
    Posting.objects.create(mailing=mailing, at=now, number=36_000, **waits)
    for seconds in (0, 61, 590):
        at(seconds)
    assert told() == []
    at(601)
    SendingControl.objects.update(rate=100)
    at(610)

    title = f"Mailing {mailing.pk} will miss its stop time"
    assert told() == [title, f"Over: {title}"]
    assert "messages will not be sent by" in mail.outbox[0].body
    assert "All would be by" in mail.outbox[0].body
    assert [each["trouble"] for each in posted(calls)] == [f"late-{mailing.pk}"] * 2


def test_two_beats_tell_once(
    at: Callable[[float], None],
    now: datetime,
    calls: responses.RequestsMock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    break_down(now)
    at(0)
    other = alerts._tell

    def tell_while_another_watches(trouble: Trouble) -> None:
        monkeypatch.setattr(alerts, "_tell", other)
        at(62)
        other(trouble)

    monkeypatch.setattr(alerts, "_tell", tell_while_another_watches)
    at(61)
    assert told() == [DOWN]


def test_a_mail_server_takes_it(
    at: Callable[[float], None], now: datetime, calls: responses.RequestsMock, settings: Settings
) -> None:
    with running_mail_server(settings) as received:
        break_down(now)
        at(0)
        at(61)
    (message,) = received
    assert message["X-RcptTo"] == "anna@example.com, ops@example.com"
    assert message["Subject"] == f"[Mailing Manager] {DOWN}"


@pytest.mark.django_db(transaction=True)
def test_beat_watches_where_somebody_is_to_be_told(
    calls: responses.RequestsMock, settings: Settings
) -> None:
    now = clock.now()
    Trouble.objects.create(key="breaker", text="Down.", began_at=now - MINUTE, next_at=now - SECOND)
    break_down(now)
    scheduler = Scheduler(app=app, lazy=True)
    scheduler.tick()
    assert scheduler._watching is not None
    scheduler._watching.result(30)
    assert told() == [DOWN]

    settings.ALERT_RECIPIENTS, settings.ALERT_WEBHOOK_URL = [], ""
    silent = Scheduler(app=app, lazy=True)
    silent.tick()
    assert silent._watching is None
