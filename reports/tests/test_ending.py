"""The letter at the end of a mailing has what was signed of it, and each statement has one."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from math import inf
from typing import Any

import pytest
from pytest_django import Settings

from mailings.closing import finish_mailing
from mailings.models import Mailing, Statement
from mailings.statements import making
from messages_app.models import Message
from messages_app.services import confirm_message
from reports import sending
from reports.models import CAUGHT_UP, Letter, Recipient
from tests.mail_server import running_mail_server

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def mails(settings: Settings) -> Iterator[list[Any]]:
    with running_mail_server(settings) as received:
        yield received


@pytest.fixture
def anna() -> Recipient:
    return Recipient.objects.create(
        address="anna@example.com", is_daily=False, is_told_of_ends=True, timezone="Europe/Moscow"
    )


@pytest.fixture
def over(make_message: Callable[..., Message], now: datetime) -> Mailing:
    """Close a mailing of three messages: accepted, failed, unconfirmed."""
    done: dict[str, Any] = {"next_attempt_at": None, "attempts": 1}
    mailing = make_message(**done, status="success", sent_at=now).mailing
    for code in ("rejected", "unconfirmed"):
        make_message(**done, mailing=mailing, status="fail", error_code=code)
    Mailing.objects.update(stop_time=now)
    finish_mailing(mailing.pk, now=now)
    return mailing


def state(now: datetime) -> dict[str, Any]:
    for pk in making.statements_to_make(now=now + HOUR):
        making.make(pk, now=now, ends_at=inf)
    said: dict[str, Any] = json.loads(Statement.objects.latest("number").document)
    return said


def look(now: datetime) -> None:
    for letter in sending.letters_to_send(now=now):
        sending.send_letter(letter, now=now)


def text_of(mail: Any) -> str:
    text: str = mail.get_payload()[0].get_payload(decode=True).decode()
    return text.replace("\r\n", "\n")


def test_it_has_the_numbers_the_root_and_the_key_of_the_statement(
    mails: list[Any], anna: Recipient, over: Mailing, now: datetime
) -> None:
    look(now)
    assert not mails  # Nothing is stated yet.
    said = state(now)
    look(now)
    look(now)

    (mail,) = mails
    assert mail["Subject"] == f"Mailing {over.pk} is over: 1 accepted, 1 failed for good"
    text = text_of(mail)
    assert f"{over.pk}. Hello\nFinished. From " in text
    assert "time zone Europe/Moscow" in text
    for line in ("Accepted: 1", "Failed for good: 1", "Nobody knows: 1", "Messages: 3"):
        assert line in text
    assert "The sender refuses this message\n  Messages: 1" in text
    html = mail.get_payload()[1].get_payload(decode=True).decode()
    for secret in (said["tree"]["root"], said["key"]):
        assert secret in text
        assert secret.replace("+", "&#x2B;") in html.replace("+", "&#x2B;")


def test_a_further_statement_has_a_further_letter(
    mails: list[Any], anna: Recipient, over: Mailing, now: datetime
) -> None:
    state(now)
    look(now)
    confirm_message(over.messages.get(error_code="unconfirmed"), now=now)
    state(now)
    look(now)

    assert [mail["Subject"] for mail in mails][1:] == [
        f"Mailing {over.pk}, statement 2: 2 accepted, 1 failed"
    ]


def test_only_who_wants_it_gets_it(
    mails: list[Any], over: Mailing, now: datetime, settings: Settings
) -> None:
    settings.REPORT_RECIPIENTS = ["boss@example.com"]
    Recipient.objects.create(address="olga@example.com", is_daily=False)
    state(now)
    look(now)
    assert [mail["X-RcptTo"] for mail in mails] == ["boss@example.com"]  # the daily one
    assert not Letter.objects.filter(kind="ending").exists()


def test_whoever_does_not_want_it_any_more_gets_none(
    mails: list[Any], anna: Recipient, over: Mailing, now: datetime
) -> None:
    state(now)
    (letter,) = sending.letters_to_send(now=now)
    Recipient.objects.update(is_told_of_ends=False)
    sending.send_letter(letter, now=now)
    assert (mails, Letter.objects.count()) == ([], 0)


def test_what_is_old_when_somebody_can_be_told_is_told_to_nobody(
    mails: list[Any], anna: Recipient, over: Mailing, now: datetime
) -> None:
    state(now)
    look(now + CAUGHT_UP + DAY)
    assert not mails
    assert Statement.objects.get().is_told


@pytest.mark.parametrize("is_cleared", [False, True])
def test_of_a_mailing_that_was_deleted_there_is_no_letter(
    is_cleared: bool, mails: list[Any], anna: Recipient, over: Mailing, now: datetime
) -> None:
    state(now)
    (letter,) = sending.letters_to_send(now=now)
    Mailing.objects.update(deleted_at=now)
    if is_cleared:
        Mailing.including_deleted.all().delete()
    sending.send_letter(letter, now=now)
    assert (mails, Letter.objects.count()) == ([], 0)
