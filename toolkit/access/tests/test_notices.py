"""Users are told by mail what happened to their own account."""

import logging
import smtplib
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client as Browser
from django.utils import timezone
from knox.models import AuthToken

from toolkit.access import notices
from toolkit.access.models import Notice, Preferences
from toolkit.access.tasks import send_notices
from toolkit.access.tokens import create_token

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _mail_server(settings: Any) -> None:
    settings.EMAIL_HOST = "mail.example.com"


@pytest.fixture
def ann() -> User:
    """Save a user with an address, of whom nothing is to be told."""
    return User.objects.create(username="ann", email="ann@example.com")


def told() -> str:
    """Send what is to be told; return the text of the only mail."""
    send_notices()
    (sent,) = mail.outbox
    assert sent.to == ["ann@example.com"]
    assert sent.subject == "Mailing Manager: your account"
    mail.outbox.clear()
    return str(sent.body)


def test_a_new_password(ann: User) -> None:
    ann.set_password("a new long password")
    ann.save()

    text = told()
    assert "your account ann" in text
    assert "A password was set." in text
    assert "a new long password" not in text


def test_a_token_that_is_made_and_one_that_is_revoked(ann: User) -> None:
    token = create_token(ann)
    text = told()
    assert f"An API token was made: {token[:8]}" in text
    assert token not in text

    AuthToken.objects.get().delete()
    assert f"revoked, or has ended: {token[:8]}" in told()


def test_all_that_happened_at_once_is_one_mail(ann: User) -> None:
    create_token(ann)
    ann.set_password("a new long password")
    ann.save()

    assert told().count(" UTC: ") == 3  # made, password, revoked


def test_a_lockout_is_told_once(ann: User, settings: Any) -> None:
    form = {"username": "ann", "password": "wrong"}
    for _ in range(settings.AXES_FAILURE_LIMIT + 3):
        answer = Browser().post("/admin/login/", form)

    assert answer.status_code == 429
    assert told().count("Too many logins from 127.0.0.1 failed") == 1


def test_it_is_said_in_the_language_that_somebody_chose(ann: User) -> None:
    Preferences.objects.create(user=ann, language="ru")
    create_token(ann)

    send_notices()

    assert "Если это были не вы" in str(mail.outbox[0].body)


@pytest.mark.parametrize("without", ["a server", "an address"])
def test_without_a_way_nothing_is_kept(ann: User, settings: Any, without: str) -> None:
    if without == "a server":
        settings.EMAIL_HOST = ""
    else:
        ann.email = ""
        ann.save()
    create_token(ann)

    assert not Notice.objects.exists()


def test_a_mail_that_fails_is_one_line_and_is_tried_again(
    ann: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise smtplib.SMTPServerDisconnected("no server")

    create_token(ann)
    with monkeypatch.context() as broken, caplog.at_level(logging.ERROR):
        broken.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", refuse)
        send_notices()

    (line,) = caplog.records
    assert line.getMessage() == "'ann' could not be told of their account: no server"
    assert line.exc_info is None
    assert "An API token was made" in told()


def test_the_tick_sends_what_waits_and_drops_what_is_old(
    ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[str] = []
    monkeypatch.setattr(notices, "publish", queued.append)
    create_token(ann)
    now = timezone.now()

    notices.tend_notices(now=now)
    assert queued == ["send_notices"]
    notices.tend_notices(now=now + timedelta(days=2))
    assert not Notice.objects.exists()
    assert queued == ["send_notices"]


def test_of_a_deleted_user_nobody_is_told(ann: User) -> None:
    create_token(ann)
    ann.delete()

    send_notices()

    assert mail.outbox == []
