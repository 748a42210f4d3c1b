"""How long a login lasts, and the first password, which has to be changed before all else."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import OperationalError, connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from tests.rest import JsonClient, refusal
from toolkit.access.models import FirstPassword

pytestmark = pytest.mark.django_db
FIRST, OWN = "made-for-the-first", "a-password-of-my-own"
ADMIN, CLIENTS = "/admin/", "/api/v1/clients/"


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def traveller() -> Iterator[time_machine.Traveller]:
    """Return a clock that stands still and can be set."""
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        yield traveller


@pytest.fixture
def browser(admin_client: Browser, traveller: time_machine.Traveller) -> Browser:
    """Return somebody who has just logged in."""
    user = User.objects.get(username="admin")
    admin_client.force_login(user)
    return admin_client


@pytest.mark.parametrize("cookie", ['"\\000aaaaaaaa"', "aaaaaaaa\xff", "x"])
def test_what_cannot_be_a_session_is_none(cookie: str) -> None:
    """In the console, too; Postgres cannot even look for a NUL."""
    answer = Browser().get(ADMIN, headers={"cookie": f"sessionid={cookie}"})

    assert answer.status_code == 302


def is_in(browser: Browser) -> bool:
    return browser.get(ADMIN).status_code == 200 and browser.get(CLIENTS).status_code == 200


class TestHowLongALoginLasts:
    def test_an_hour_in_which_nobody_does_anything(
        self, browser: Browser, traveller: time_machine.Traveller
    ) -> None:
        traveller.shift(timedelta(minutes=59))
        assert is_in(browser)
        traveller.shift(timedelta(minutes=59))
        assert is_in(browser)
        traveller.shift(timedelta(minutes=60))

        assert browser.get(CLIENTS).status_code == 401
        assert browser.get(ADMIN).status_code == 302
        assert not Session.objects.exists()

    def test_twelve_hours_however_busy_it_is(
        self, browser: Browser, traveller: time_machine.Traveller
    ) -> None:
        for _ in range(23):
            traveller.shift(timedelta(minutes=30))
            assert is_in(browser)
        traveller.shift(timedelta(minutes=30))

        assert not is_in(browser)

    def test_a_page_that_renews_itself_is_nobody(
        self, browser: Browser, traveller: time_machine.Traveller
    ) -> None:
        for _ in range(11):
            traveller.shift(timedelta(minutes=5))
            assert browser.get(ADMIN, headers={"hx-request": "true"}).status_code == 200
        traveller.shift(timedelta(minutes=5))

        answer = browser.get(ADMIN, headers={"hx-request": "true"})

        assert (answer.status_code, answer["HX-Refresh"], answer.content) == (200, "true", b"")
        assert not is_in(browser)

    def test_a_login_of_before_there_were_limits_has_them_from_then_on(
        self, browser: Browser, traveller: time_machine.Traveller
    ) -> None:
        session = browser.session
        del session["login_began_at"], session["last_seen_at"]
        session.save()
        assert is_in(browser)
        traveller.shift(timedelta(minutes=61))

        assert not is_in(browser)

    def test_a_session_is_written_once_in_five_minutes(
        self, browser: Browser, traveller: time_machine.Traveller
    ) -> None:
        def writes() -> int:
            with CaptureQueriesContext(connection) as queries:
                browser.get(CLIENTS)
            return sum("UPDATE" in each["sql"] for each in queries.captured_queries)

        assert writes() == 0
        traveller.shift(timedelta(minutes=5))
        assert (writes(), writes()) == (1, 0)

    def test_a_database_that_does_not_answer_is_told_as_that(
        self, browser: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: object) -> None:
            raise OperationalError("the connection is lost")

        monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", fail)
        browser.raise_request_exception = False

        assert refusal(browser.get(CLIENTS)) == (503, {None: "database_unavailable"})

    def test_the_cookie_lasts_as_long(self, admin_user: User) -> None:
        form = {"username": "admin", "password": "password"}
        cookie = Browser().post("/admin/login/", form).cookies["sessionid"]

        assert cookie["max-age"] == 12 * 3600


class TestTheFirstPassword:
    @pytest.fixture
    def admin(self) -> User:
        admin = User.objects.create_superuser("first", password=FIRST)
        FirstPassword.objects.create(user=admin)
        return admin

    @pytest.fixture
    def browser(self, admin: User) -> Browser:
        browser = Browser()
        browser.post("/admin/login/", {"username": "first", "password": FIRST})
        return browser

    def change(self, browser: Browser, new: str) -> Any:
        form = {"old_password": FIRST, "new_password1": new, "new_password2": new}
        return browser.post("/admin/password_change/", form)

    @pytest.mark.parametrize(
        "page",
        [
            "/admin/",
            "/admin/clients/client/",
            "/admin/auth/user/add/",
            "/admin/knox/authtoken/add/",
        ],
    )
    def test_nothing_is_done_before_it_is_changed(self, browser: Browser, page: str) -> None:
        for answer in (browser.get(page), browser.post(page, {})):
            assert (answer.status_code, answer["Location"]) == (302, "/admin/password_change/")
        assert browser.get("/admin/password_change/").status_code == 200

    def test_nor_over_rest(self, browser: Browser) -> None:
        for answer in (browser.get(CLIENTS), browser.post(CLIENTS, {})):
            assert refusal(answer) == (403, {None: "permission_denied"})
            assert "/admin/password_change/" in answer.json()["errors"][0]["detail"]

    def test_a_new_one_opens_everything(self, browser: Browser) -> None:
        assert self.change(browser, OWN).status_code == 302

        assert is_in(browser)
        again = Browser()
        again.post("/admin/login/", {"username": "first", "password": OWN})
        assert is_in(again)

    def test_the_same_is_no_new_one(self, browser: Browser) -> None:
        page = self.change(browser, FIRST).content.decode()

        assert "Choose another password than the one that was made for you." in page
        assert not is_in(browser)

    def test_one_can_leave(self, browser: Browser) -> None:
        assert browser.post("/admin/logout/").status_code == 200
        assert "sessionid" not in {name for name, cookie in browser.cookies.items() if cookie.value}

    def test_others_are_not_asked(self, admin_client: Browser) -> None:
        assert is_in(admin_client)

    def test_who_comes_without_a_login_is_asked_for_one(self, admin: User) -> None:
        assert JsonClient().get(CLIENTS).status_code == 401


def test_a_password_has_twelve_characters() -> None:
    with pytest.raises(ValidationError):
        validate_password("Mailing-012")

    validate_password("Mailing-0123")
