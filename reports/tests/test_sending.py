"""Letters are sent once, at their time, whoever looks how often, and after outages."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from messages_app.models import SendingControl
from reports import sending
from reports.models import CAUGHT_UP, Letter, Recipient
from reports.services import delete_recipient
from reports.tasks import send_report, send_reports
from tests.mail_server import running_mail_server

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EIGHT = datetime(2030, 1, 31, 8, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def mails(settings: Settings) -> Iterator[list[Any]]:
    with running_mail_server(settings) as received:
        yield received


@pytest.fixture
def anna() -> Recipient:
    return Recipient.objects.create(address="anna@example.com")


def look(now: datetime) -> None:
    """Do what the tick and its tasks do."""
    for letter in sending.letters_to_send(now=now):
        sending.send_letter(letter, now=now)


def told() -> list[str]:
    sent = Letter.objects.exclude(sent_at=None).order_by("address", "about")
    return [f"{each.address} {each.about}" for each in sent]


def test_it_comes_at_its_time_by_the_readers_clock(
    mails: list[Any], anna: Recipient, settings: Settings
) -> None:
    settings.REPORT_TIME = time(9, 30)
    Recipient.objects.create(address="oleg@example.com", timezone="Asia/Vladivostok")  # +10
    Letter.objects.create(
        address=anna.address, kind="daily", about="2030-01-29", made_at=EIGHT - DAY,
        next_attempt_at=EIGHT - DAY, sent_at=EIGHT - DAY,
    )  # fmt: skip

    look(EIGHT)  # 18:00 there
    assert told()[1:] == ["oleg@example.com 2030-01-30"]
    look(EIGHT + 1.4 * HOUR)
    assert len(mails) == 1
    look(EIGHT + 1.5 * HOUR)
    assert [each["X-RcptTo"] for each in mails] == ["oleg@example.com", "anna@example.com"]


def test_the_mail_server_gets_text_and_html(mails: list[Any], anna: Recipient) -> None:
    look(EIGHT)

    (mail,) = mails
    text, html = mail.get_payload()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert mail["Subject"].startswith("Mailing Manager, 2030-01-30: 0 accepted")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"] == f"<{Letter.objects.get().token}@localhost>"
    assert "No messages were planned or sent." in text.get_payload(decode=True).decode()
    assert "No messages were planned or sent." in html.get_payload(decode=True).decode()


def test_however_many_look_it_is_sent_once(mails: list[Any], anna: Recipient) -> None:
    first = sending.letters_to_send(now=EIGHT)
    assert sending.letters_to_send(now=EIGHT) == first
    for _ in range(2):
        for letter in first:
            sending.send_letter(letter, now=EIGHT)
    look(EIGHT + HOUR)

    assert len(mails) == 1


def test_while_one_sends_it_nobody_else_does(mails: list[Any], anna: Recipient) -> None:
    sending.letters_to_send(now=EIGHT)
    Letter.objects.update(next_attempt_at=EIGHT + sending.CLAIMED)  # as somebody who claims it

    look(EIGHT + sending.CLAIMED / 2)
    assert not mails
    look(EIGHT + sending.CLAIMED)  # They died.
    assert len(mails) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres
def test_of_two_at_once_one_sends_it(
    mails: list[Any], anna: Recipient, at_once: Callable[..., Any]
) -> None:
    at_once(*[lambda: look(EIGHT)] * 2)

    assert len(mails) == 1


def test_after_an_outage_each_day_is_told_of_that_nobody_was(
    mails: list[Any], anna: Recipient
) -> None:
    look(EIGHT)
    look(EIGHT + 3 * DAY)
    assert told() == [f"anna@example.com {day}" for day in days(date(2030, 1, 30), 4)]

    look(EIGHT + 40 * DAY)
    assert len(told()) == 4 + CAUGHT_UP.days


def days(first: date, number: int) -> list[str]:
    return [str(first + place * DAY) for place in range(number)]


def test_whoever_is_new_gets_the_last_day(mails: list[Any], anna: Recipient) -> None:
    look(EIGHT - HOUR)
    assert told() == ["anna@example.com 2030-01-29"]


def test_what_the_server_refuses_is_tried_again_until_it_takes_it(
    settings: Settings, anna: Recipient, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    look(EIGHT)
    letter = Letter.objects.get()
    assert "refused" in letter.error
    assert letter.next_attempt_at == EIGHT + timedelta(minutes=2)
    assert "daily 2030-01-30 to anna@example.com" in caplog.text

    with running_mail_server(settings) as received:
        look(EIGHT + HOUR)
    letter.refresh_from_db()
    assert (letter.error, letter.sent_at, len(received)) == ("", EIGHT + HOUR, 1)


def test_after_days_it_is_given_up(settings: Settings, anna: Recipient) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    look(EIGHT)
    Recipient.objects.update(is_daily=False)

    assert len(sending.letters_to_send(now=EIGHT + 2 * DAY)) == 1
    assert sending.letters_to_send(now=EIGHT + 4 * DAY) == []


def test_those_of_the_settings_get_it_too_and_nobody_twice(
    mails: list[Any], anna: Recipient, settings: Settings
) -> None:
    settings.REPORT_RECIPIENTS = ["Anna@example.com", "boss@example.com"]
    look(EIGHT)
    assert told() == ["anna@example.com 2030-01-30", "boss@example.com 2030-01-30"]


def test_whoever_was_deleted_meanwhile_gets_none(mails: list[Any], anna: Recipient) -> None:
    (letter,) = sending.letters_to_send(now=EIGHT)
    delete_recipient(anna)
    sending.send_letter(letter, now=EIGHT)
    assert (mails, Letter.objects.count()) == ([], 0)


def test_nobody_is_told_without_a_mail_server_nor_by_a_copy(
    mails: list[Any], anna: Recipient, settings: Settings
) -> None:
    SendingControl.objects.update(held_until=EIGHT + HOUR)
    look(EIGHT)
    SendingControl.objects.update(held_until=None)
    settings.EMAIL_HOST = ""
    look(EIGHT)
    assert not Letter.objects.exists()


def test_what_was_sent_long_ago_is_forgotten(mails: list[Any], anna: Recipient) -> None:
    look(EIGHT)
    look(EIGHT + sending.KEPT + DAY)
    assert "anna@example.com 2030-01-30" not in told()


def test_the_tick_queues_a_task_for_each_letter(
    mails: list[Any], anna: Recipient, queued: Callable[[], list[Any]]
) -> None:
    send_reports()

    letter = Letter.objects.get()
    assert queued() == [("send_report", letter.pk)]
    send_report(letter.pk)
    assert len(mails) == 1


class TestTheCommand:
    def test_it_sends_a_day_also_to_who_had_it(
        self, mails: list[Any], anna: Recipient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for _ in range(2):
            call_command("daily_report", "--date=2030-01-30", "--to=ANNA@example.com")
        assert len(mails) == 2
        assert "2030-01-30 was sent to anna@example.com." in capsys.readouterr().out
        assert told() == ["anna@example.com 2030-01-30"]

    @pytest.mark.parametrize(
        ("host", "arguments", "said"),
        [
            ("", [], "set EMAIL_HOST"),
            ("127.0.0.1", ["--to=olga@example.com"], "nobody to send it to"),
            ("127.0.0.1", [], "Not sent to anna@example.com: .*refused"),
        ],
    )
    def test_it_says_why_it_cannot(
        self, host: str, arguments: list[str], said: str, anna: Recipient, settings: Settings
    ) -> None:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = host, 1
        with pytest.raises(CommandError, match=said):
            call_command("daily_report", *arguments)
