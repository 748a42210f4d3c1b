from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser

from mailings.models import Mailing
from messages_app.admin.labels import describe
from messages_app.admin.messages import ATTEMPTS_SHOWN
from messages_app.models import Attempt, ErrorCode, Message
from toolkit.history.models import Entry

pytestmark = pytest.mark.django_db

LIST = "/admin/messages_app/message/"
UNCONFIRMED = {
    "status": "fail",
    "next_attempt_at": None,
    "error_code": "unconfirmed",
    "error": "The sender gave no answer.",
    "attempts": 1,
}

Make = Callable[..., Message]
MakeMailing = Callable[..., Mailing]


@pytest.fixture
def admin_user(django_user_model: type[User]) -> User:
    # Without a password, because hashing one takes longer than a test.
    return django_user_model.objects.create(username="admin", is_staff=True, is_superuser=True)


def log(message: Message, number: int, **fields: Any) -> None:
    defaults = {"error_code": "throttled", "http_status": 429, "error": "HTTP 429: slower"}
    Attempt.objects.create(message=message, number=number, **{**defaults, **fields})


def page_of(browser: Browser, message: Message) -> str:
    response = browser.get(f"{LIST}{message.pk}/change/")
    assert response.status_code == 200
    return response.content.decode()


def do_with(browser: Browser, action: str, *messages: Message) -> str:
    post = {"action": action, "_selected_action": [message.pk for message in messages]}
    return browser.post(LIST, post, follow=True).content.decode()


class TestLog:
    def rows(self, browser: Browser, message: Message) -> Any:
        response = browser.get(f"{LIST}{message.pk}/change/")
        return response.context["attempts"]["rows"]

    def test_shows_when_how_long_what_came_of_it_and_in_words(
        self, admin_client: Browser, make_message: Make, now: datetime
    ) -> None:
        message = make_message(attempts=4)
        log(message, 1, began_at=now, seconds=0.0483)
        log(message, 2, began_at=now, seconds=10.04, error_code="unconfirmed", http_status=None)
        log(message, 3, error_code="unavailable", http_status=None, error="No way.")
        log(message, 4, began_at=now, seconds=0.2, error_code="", http_status=200, error="")
        at = f"{now:%Y-%m-%d %H:%M:%S}"
        numbers, times, took, outcomes, statuses, words = zip(
            *self.rows(admin_client, message), strict=True
        )
        assert numbers == (1, 2, 3, 4)
        assert times == (at, at, "–", at)
        assert took == ("48 ms", "10.0 s", "–", "200 ms")
        assert [
            word in outcome
            for word, outcome in zip(
                ("throttled", "unconfirmed", "unavailable", "accepted"), outcomes, strict=True
            )
        ] == [True] * 4
        assert statuses == (429, "–", "–", 200)
        assert words == ("HTTP 429: slower", "HTTP 429: slower", "No way.", "–")
        assert "No way." in page_of(admin_client, message)

    def test_is_left_out_where_the_first_attempt_succeeded(
        self, admin_client: Browser, make_message: Make
    ) -> None:
        message = make_message(status="success", next_attempt_at=None, attempts=1)
        assert "Outcome" not in page_of(admin_client, message)

    def test_the_log_of_hundreds_of_attempts_shows_the_last(
        self, admin_client: Browser, make_message: Make
    ) -> None:
        message = make_message(attempts=ATTEMPTS_SHOWN + 1)
        for number in range(1, ATTEMPTS_SHOWN + 1):
            log(message, number)
        assert "These are the last" not in page_of(admin_client, message)
        log(message, ATTEMPTS_SHOWN + 1)
        numbers = [row[0] for row in self.rows(admin_client, message)]
        assert numbers == list(range(2, ATTEMPTS_SHOWN + 2))
        assert "These are the last" in page_of(admin_client, message)

    def test_cannot_break_the_page(self, admin_client: Browser, make_message: Make) -> None:
        message = make_message()
        log(message, 1, error="<script>alert(1)</script>")
        assert "<script>alert(1)" not in page_of(admin_client, message)


class TestUnconfirmed:
    def test_has_both_buttons_while_its_mailing_runs(
        self, admin_client: Browser, make_message: Make
    ) -> None:
        page = page_of(admin_client, make_message(**UNCONFIRMED))
        assert "It arrived" in page
        assert "Send again" in page

    @pytest.mark.parametrize("over", [{"status": "finished"}, {"status": "paused"}, {"passed": 1}])
    def test_can_only_be_confirmed_when_its_mailing_does_not_run(
        self,
        over: dict[str, Any],
        admin_client: Browser,
        make_message: Make,
        make_mailing: MakeMailing,
        now: datetime,
    ) -> None:
        fields = {"stop_time": now} if over == {"passed": 1} else over
        page = page_of(admin_client, make_message(**UNCONFIRMED, mailing=make_mailing(**fields)))
        assert "It arrived" in page
        assert "Send again" not in page

    def test_of_another_failure_nobody_says_that_it_arrived(
        self, admin_client: Browser, make_message: Make
    ) -> None:
        message = make_message(**{**UNCONFIRMED, "error_code": "rejected"})
        assert "It arrived" not in page_of(admin_client, message)

    def test_becomes_a_success_by_the_button(
        self, admin_client: Browser, make_message: Make
    ) -> None:
        message = make_message(**UNCONFIRMED)
        page = admin_client.post(f"{LIST}{message.pk}/confirm/", follow=True).content.decode()
        message.refresh_from_db()
        assert "1 message marked as arrived." in page
        assert "It arrived" not in page
        assert message.status == "success"
        assert Entry.objects.latest("pk").deed == "confirmed"

    def test_is_not_confirmed_by_following_a_link(
        self, admin_client: Browser, make_message: Make
    ) -> None:
        message = make_message(**UNCONFIRMED)
        assert admin_client.get(f"{LIST}{message.pk}/confirm/").status_code == 405
        assert admin_client.post(f"{LIST}99999999999999999999/confirm/").status_code == 404

    def test_ones_are_found_by_their_error_code_and_confirmed_together(
        self, admin_client: Browser, make_message: Make
    ) -> None:
        messages = [make_message(**UNCONFIRMED), make_message(**UNCONFIRMED)]
        other = make_message(status="fail", error_code="rejected")
        found = admin_client.get(f"{LIST}?error_code=unconfirmed").context["cl"].result_list
        assert set(found) == set(messages)
        page = do_with(admin_client, "confirm_selected", *messages, other)
        assert "2 messages marked as arrived." in page
        assert f"{other}: Only a message that is unconfirmed can be confirmed." in page
        assert Message.objects.filter(status="success").count() == 2

    def test_ones_are_confirmed_only_by_those_who_may(
        self, client: Browser, make_message: Make
    ) -> None:
        message = make_message(**UNCONFIRMED)
        user = User.objects.create_user("operator", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename="view_message"))
        client.force_login(user)
        assert "It arrived" not in page_of(client, message)
        assert client.post(f"{LIST}{message.pk}/confirm/").status_code == 403
        do_with(client, "confirm_selected", message)
        assert Message.objects.get().status == "fail"


class TestErrorCodeFilter:
    @pytest.mark.parametrize("code", [*ErrorCode.values, "nonsense", "%00", ""])
    def test_takes_every_address(self, code: str, admin_client: Browser) -> None:
        assert admin_client.get(f"{LIST}?error_code={code}", follow=True).status_code == 200

    def test_selects_nothing_by_a_reason_that_there_is_not(
        self, admin_client: Browser, make_message: Make
    ) -> None:
        make_message()
        found = admin_client.get(f"{LIST}?error_code=nonsense").context["cl"].result_list
        assert found == []


class TestInWords:
    @pytest.mark.parametrize(
        ("code", "words"),
        [
            ("unconfirmed", "Nobody knows whether it arrived, so it is not sent again by itself."),
            ("expired", "Never sent: the stop time came first."),
            ("out_of_window", "Never sent: until the stop time, the client's own local time left"),
            ("not_matched", "Never sent: the client no longer matched the mailing's filters"),
            ("cancelled", "Never sent: the mailing was cancelled first."),
            ("rejected", "Failed for good. Busy."),
            ("throttled", "The last attempt failed, and the time was up before another. Busy."),
        ],
    )
    def test_the_end_of_a_message_says_why_and_what_can_be_done(
        self, code: str, words: str, now: datetime
    ) -> None:
        assert describe(Message(status="fail", error_code=code, error="Busy."), now).startswith(
            words
        )

    def test_a_message_that_is_repeated_may_have_arrived(self, now: datetime) -> None:
        fields = {"status": "fail", "error_code": "unconfirmed", "error": "No answer."}
        message = Message(**fields, next_attempt_at=now)
        said = "Nobody knows whether the last attempt arrived. No answer. It is due at"
        assert describe(message, now).startswith(said)

    def test_a_message_that_waits_though_it_is_due_says_since_when(self, now: datetime) -> None:
        message = Message(next_attempt_at=now - timedelta(minutes=1))
        assert describe(message, now).startswith("Not sent yet. It has been due since ")
