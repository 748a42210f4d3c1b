"""Logins by password: how many may fail, what is answered to one too many, and what is logged."""

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client as Browser
from django.utils import timezone
from pytest_django import Settings

pytestmark = pytest.mark.django_db
Lines = Callable[[], list[str]]
RIGHT, WRONG = "The-right-password", "The-wrong-password"


@pytest.fixture(autouse=True)
def _setup(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = 1
    settings.AXES_FAILURE_LIMIT = 3
    settings.AXES_COOLOFF_TIME = timedelta(hours=1)
    # Quick ones, because many passwords are tried here.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def olga() -> User:
    return User.objects.create_superuser("olga", password=RIGHT)


@pytest.fixture
def traveller() -> Iterator[time_machine.Traveller]:
    """Return a clock that stands still and can be set."""
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        yield traveller


def log_in(password: str, name: str = "olga", address: str = "1.2.3.4", agent: str = "x") -> Any:
    headers = {"x-forwarded-for": address, "user-agent": agent}
    form = {"username": name, "password": password}
    return Browser(headers=headers).post("/admin/login/?next=/admin/", form)


def fail(times: int, **login: str) -> list[int]:
    return [log_in(WRONG, **login).status_code for _ in range(times)]


def test_after_so_many_failures_not_even_the_right_password_helps(olga: User) -> None:
    assert fail(3) == [200, 200, 429]

    assert log_in(RIGHT).status_code == 429
    assert log_in(RIGHT, agent="another browser").status_code == 429


def test_who_is_refused_is_told_why_and_until_when(
    olga: User, traveller: time_machine.Traveller
) -> None:
    fail(3)
    traveller.shift(timedelta(minutes=20))

    answer = log_in(RIGHT)

    assert answer["Retry-After"] == "2400"
    assert "Try again in 40 minutes" in answer.content.decode()


def test_it_ends_by_itself_and_attempts_meanwhile_do_not_prolong_it(
    olga: User, traveller: time_machine.Traveller
) -> None:
    fail(3)
    traveller.shift(timedelta(minutes=59))
    fail(5)
    traveller.shift(timedelta(minutes=2))

    assert log_in(RIGHT).status_code == 302


def test_whoever_knows_a_name_locks_nobody_out(olga: User) -> None:
    """From as many addresses as it takes."""
    for number in range(20):
        fail(3, address=f"6.6.6.{number}")

    assert log_in(RIGHT).status_code == 302


def test_nobody_gets_further_by_making_addresses_up(olga: User) -> None:
    tried = [log_in(WRONG, address=f"6.6.6.{n}, 1.2.3.4").status_code for n in range(3)]

    assert tried == [200, 200, 429]


def test_one_address_does_not_try_name_after_name(olga: User) -> None:
    for number in range(15):
        fail(2, name=f"name{number}")

    assert log_in(RIGHT).status_code == 429
    assert log_in(RIGHT, address="1.2.3.5").status_code == 302


def test_a_login_begins_anew(olga: User) -> None:
    fail(2)
    log_in(RIGHT)

    assert fail(2) == [200, 200]


def test_but_not_what_an_address_has_failed_with_other_names(olga: User) -> None:
    """Else an account of one's own would be a way to try all others."""
    for number in range(14):
        fail(2, name=f"name{number}")
    assert log_in(RIGHT).status_code == 302
    fail(2, name="another")

    assert log_in(RIGHT).status_code == 429


def test_who_is_logged_in_stays_so(olga: User) -> None:
    browser = Browser(headers={"x-forwarded-for": "1.2.3.4"})
    browser.force_login(olga)
    fail(3)

    assert browser.get("/admin/").status_code == 200


def test_an_administrator_lets_somebody_in_again(olga: User) -> None:
    fail(3)

    call_command("axes_reset_username", "olga")

    assert log_in(RIGHT).status_code == 302


def test_no_password_is_kept(olga: User) -> None:
    log_in(WRONG)

    for attempt in AccessAttempt.objects.values():
        assert WRONG not in str(attempt)


class TestTheLog:
    @pytest.fixture
    def lines(self, caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
        with caplog.at_level(logging.INFO, "toolkit.access.logins"):
            yield lambda: [
                f"{each.levelname} {each.getMessage()}"
                for each in caplog.records
                if each.name != "access"
            ]

    def test_a_login_and_a_logout_are_a_line_each(self, olga: User, lines: Lines) -> None:
        browser = Browser(headers={"x-forwarded-for": "1.2.3.4"})
        browser.post("/admin/login/", {"username": "olga", "password": RIGHT})
        browser.post("/admin/logout/")

        assert lines() == [
            "INFO 'olga' logged in from 1.2.3.4.",
            "INFO 'olga' logged out from 1.2.3.4.",
        ]

    def test_a_failure_and_a_lockout_are_a_line_each(self, olga: User, lines: Lines) -> None:
        fail(4)

        failure = "WARNING A login of 'olga' from 1.2.3.4 failed."
        lockout = (
            "WARNING A login of 'olga' from 1.2.3.4 was refused, because too many failed. There is "
            "none for up to 1:00:00."
        )
        assert lines() == [failure, failure, lockout, lockout]

    @pytest.mark.parametrize("name", [RIGHT, "a\nINFO forged", "\x1b[31m"])
    def test_a_name_that_nobody_has_is_not_written_down(
        self, olga: User, lines: Lines, name: str
    ) -> None:
        """It may be a password in the wrong field."""
        log_in(WRONG, name=name)

        assert lines() == ["WARNING A login of an unknown name from 1.2.3.4 failed."]
