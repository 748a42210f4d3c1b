"""Second factors of local accounts: set up, asked for at the login, lost and removed."""

import re
from datetime import timedelta
from html import unescape
from io import StringIO
from typing import Any

import pyotp
import pytest
import time_machine
from axes.models import AccessAttempt
from django.contrib.auth.models import Group, User
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import Client as Browser
from django.utils import timezone
from pytest_django import Settings

from toolkit.access import factors
from toolkit.access.models import BackupCode, SecondFactor
from toolkit.access.tasks import send_notices
from toolkit.history.models import Entry

pytestmark = pytest.mark.django_db
PAGE = "/admin/second-factor/"
PASSWORD = "The-right-password"


@pytest.fixture(autouse=True)
def _quick_hashes(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def anna() -> User:
    return User.objects.create_superuser("anna", "anna@example.com", PASSWORD)


@pytest.fixture
def browser(client: Browser, anna: User) -> Browser:
    client.force_login(anna)
    return client


def code_of(secret: str, steps: int = 0) -> str:
    return pyotp.TOTP(secret).at(timezone.now(), counter_offset=steps)


def secret_in(answer: Any) -> str:
    """Return the letters on the page, as somebody writes them into their phone."""
    (letters,) = re.findall(r"<code[^>]*>([A-Z2-7 ]+)</code>", answer.content.decode())
    return str(letters).replace(" ", "")


def codes_in(answer: Any) -> list[str]:
    assert "no-store" in answer["Cache-Control"]
    return (
        unescape(answer.content.decode())
        .split('id="secret"')[1]
        .split(">")[1]
        .split("<")[0]
        .split()
    )


def prove(browser: Browser, code: str, **form: str) -> Any:
    return browser.post(PAGE, {"password": PASSWORD, "code": code, **form})


def set_up(user: User) -> tuple[str, list[str]]:
    """Give somebody a second factor whose code was used a minute ago."""
    secret = factors.new_secret()
    before = timezone.now() - timedelta(minutes=2)
    return secret, factors.set_up(user, secret, pyotp.TOTP(secret).at(before), now=before)


def log_in(code: str = "", password: str = PASSWORD, **headers: str) -> int:
    form = {"username": "anna", "password": password, "code": code}
    return Browser(headers=headers).post("/admin/login/?next=/admin/", form).status_code


class TestPage:
    def test_a_phone_reads_a_picture_and_shows_that_it_has(
        self, browser: Browser, anna: User
    ) -> None:
        page = browser.get(PAGE)
        text = page.content.decode()
        secret = secret_in(page)
        assert "<svg" in text
        assert "http://" not in text.split("<svg")[1].split("</svg>")[0].replace(
            "http://www.w3.org/2000/svg", ""
        )
        assert "no-store" in page["Cache-Control"]

        answer = prove(browser, code_of(secret))

        assert len(set(codes_in(answer))) == 10
        assert log_in() == 200
        assert log_in(code_of(secret, 1)) == 302

    def test_is_set_up_only_by_a_code_and_the_password(self, browser: Browser) -> None:
        secret = secret_in(browser.get(PAGE))

        assert "Is its clock right?" in prove(browser, "000000").content.decode()
        wrong = prove(browser, code_of(secret), password="wrong").content.decode()
        assert "Password or code are not right" in wrong

        assert not SecondFactor.objects.exists()
        assert secret_in(browser.get(PAGE)) == secret

    def test_is_not_shown_again(self, browser: Browser, anna: User) -> None:
        set_up(anna)

        text = browser.get(PAGE).content.decode()

        assert "10 backup codes are left" in text
        assert "<svg" not in text.split("max-w-3xl")[1]

    def test_new_backup_codes_take_the_place_of_the_old_ones(
        self, browser: Browser, anna: User
    ) -> None:
        secret, old = set_up(anna)

        new = codes_in(prove(browser, code_of(secret), do="codes"))

        assert log_in(old[0]) == 200
        assert log_in(new[0]) == 302

    def test_it_is_removed_by_password_and_code(self, browser: Browser, anna: User) -> None:
        secret, _codes = set_up(anna)

        prove(browser, "", do="remove")
        assert SecondFactor.objects.exists()
        assert prove(browser, code_of(secret), do="remove").status_code == 302

        assert not SecondFactor.objects.exists()
        assert not BackupCode.objects.exists()
        assert log_in() == 302

    def test_history_and_a_mail_tell_of_both(
        self, browser: Browser, anna: User, settings: Settings
    ) -> None:
        settings.EMAIL_HOST = "mail.example.com"
        secret = secret_in(browser.get(PAGE))
        code = code_of(secret)
        prove(browser, code)
        prove(browser, code_of(secret, 1), do="remove")
        send_notices()

        told = Entry.objects.filter(changes__has_key="second_factor").order_by("pk")
        assert [(each.username, each.changes["second_factor"]) for each in told] == [
            ("anna", [False, True]),
            ("anna", [True, False]),
        ]
        body = str(mail.outbox[0].body)
        assert "A second factor was set up" in body
        assert "The second factor was removed" in body
        assert secret not in str(list(Entry.objects.values())) + body

    def test_is_nobody_s_who_has_no_password(self, client: Browser) -> None:
        user = User.objects.create(username="olga", is_staff=True)
        user.set_unusable_password()
        user.save()
        client.force_login(user)

        assert client.get(PAGE).status_code == 404
        assert PAGE not in client.get("/admin/preferences/").content.decode()

    def test_is_there_in_russian(self, browser: Browser) -> None:
        page = browser.get(PAGE, headers={"accept-language": "ru"}).content.decode()
        assert "украденного пароля" in page


class TestLogin:
    def test_a_code_is_taken_once_and_none_before_it(self, anna: User) -> None:
        secret, _codes = set_up(anna)
        earlier, code = code_of(secret, -1), code_of(secret)

        assert log_in(code) == 302
        assert log_in(code) == 200
        assert log_in(earlier) == 200

    @pytest.mark.parametrize(("steps", "status"), [(-3, 200), (-1, 302), (1, 302), (3, 200)])
    def test_a_phone_s_clock_may_be_half_a_minute_off(
        self, anna: User, steps: int, status: int
    ) -> None:
        with time_machine.travel(timezone.now(), tick=False):
            secret, _codes = set_up(anna)
            assert log_in(code_of(secret, steps)) == status

    @pytest.mark.parametrize(
        "code", ["", "000000", "0" * 40, "\u0661\u0662\u0663\u0664\u0665\u0666"]
    )
    def test_without_a_right_code_the_right_password_is_none(self, anna: User, code: str) -> None:
        set_up(anna)

        assert log_in(code) == 200

    def test_a_code_may_be_written_as_phones_show_it(self, anna: User) -> None:
        secret, _codes = set_up(anna)
        code = code_of(secret)

        assert log_in(f" {code[:3]} {code[3:]}") == 302

    def test_a_backup_code_lets_in_once_and_its_owner_is_told(
        self, anna: User, settings: Settings
    ) -> None:
        settings.EMAIL_HOST = "mail.example.com"
        _secret, codes = set_up(anna)

        assert log_in(codes[0].upper()) == 302
        assert log_in(codes[0]) == 200

        send_notices()
        assert "one of your backup codes" in str(mail.outbox[0].body)

    def test_backup_codes_are_no_use_to_who_reads_the_database(self, anna: User) -> None:
        secret, codes = set_up(anna)

        kept = str([*BackupCode.objects.values(), *SecondFactor.objects.values()])

        assert secret not in kept
        assert not any(code in kept or code.replace("-", "") in kept for code in codes)

    def test_wrong_codes_count_as_wrong_passwords_and_are_not_kept(
        self, anna: User, settings: Settings
    ) -> None:
        settings.AXES_FAILURE_LIMIT = 3
        secret, codes = set_up(anna)

        assert [log_in("111111") for _ in range(3)] == [200, 200, 429]
        assert log_in(code_of(secret)) == 429
        log_in(codes[0], password="wrong")
        assert codes[0] not in str(list(AccessAttempt.objects.values()))
        assert "111111" not in str(list(AccessAttempt.objects.values()))

    def test_so_do_those_on_the_page(
        self, browser: Browser, anna: User, settings: Settings
    ) -> None:
        settings.AXES_FAILURE_LIMIT = 3
        set_up(anna)

        assert [prove(browser, "1", do="remove").status_code for _ in range(3)] == [200, 200, 429]

    def test_a_code_with_a_wrong_password_is_not_used_up(self, anna: User) -> None:
        _secret, codes = set_up(anna)
        log_in(codes[0], password="wrong")

        assert log_in(codes[0]) == 302


class TestRequired:
    """SECOND_FACTOR says for whom."""

    @pytest.fixture(autouse=True)
    def _of_administrators(self, settings: Settings) -> None:
        settings.SECOND_FACTOR = "administrators"

    def come(self, group: str) -> Browser:
        user = User.objects.create_user("olga", password=PASSWORD, is_staff=True)
        user.groups.set(Group.objects.filter(name=group))
        browser = Browser()
        browser.post("/admin/login/", {"username": "olga", "password": PASSWORD})
        return browser

    def test_an_administrator_sets_it_up_before_all_else(self) -> None:
        browser = self.come("administrators")
        for page in ("/admin/clients/client/", "/admin/find/?q=79"):
            assert browser.get(page)["Location"] == PAGE
        assert browser.get("/api/v1/clients/").status_code == 403

        prove(browser, code_of(secret_in(browser.get(PAGE))))

        assert browser.get("/admin/clients/client/").status_code == 200
        assert browser.get("/api/v1/clients/").status_code == 200

    def test_and_does_not_remove_it(self) -> None:
        browser = self.come("administrators")
        secret = secret_in(browser.get(PAGE))
        prove(browser, code_of(secret))

        assert (
            "ask an administrator"
            in prove(browser, code_of(secret, 1), do="remove").content.decode()
        )
        assert SecondFactor.objects.exists()

    def test_others_may_do_without(self) -> None:
        assert self.come("operators").get("/admin/clients/client/").status_code == 200

    def test_or_nobody(self, settings: Settings) -> None:
        settings.SECOND_FACTOR = "everybody"
        assert self.come("operators").get("/admin/clients/client/")["Location"] == PAGE

    def test_nobody_where_there_are_no_local_logins(self, settings: Settings, anna: User) -> None:
        """Whoever has a link then gets in on the day on which the provider is away."""
        settings.LOCAL_LOGINS = False
        link = StringIO()
        call_command("login_link", "anna", stdout=link, stderr=StringIO())
        browser = Browser()
        browser.get(link.getvalue().strip())

        assert browser.get("/admin/clients/client/").status_code == 200
        assert browser.get(PAGE).status_code == 404


class TestLost:
    def test_an_administrator_removes_it_after_a_question(
        self, browser: Browser, anna: User
    ) -> None:
        olga = User.objects.create_user("olga", password=PASSWORD)
        set_up(olga)
        address = f"/admin/auth/user/{olga.pk}/second-factor/remove/"
        assert address in browser.get(f"/admin/auth/user/{olga.pk}/change/").content.decode()
        assert "Be sure that it is them" in browser.get(address).content.decode()
        assert SecondFactor.objects.exists()

        browser.post(address, {"post": "yes"})

        assert not SecondFactor.objects.exists()

    def test_nobody_does_so_with_whoever_may_do_more(self, client: Browser, anna: User) -> None:
        set_up(anna)
        olga = User.objects.create_user("olga", is_staff=True)
        olga.groups.set(Group.objects.filter(name="administrators"))
        client.force_login(olga)

        address = f"/admin/auth/user/{anna.pk}/second-factor/remove/"

        assert client.post(address, {"post": "yes"}).status_code == 403

    def test_a_command_removes_it(self, anna: User) -> None:
        set_up(anna)
        call_command("remove_second_factor", "anna", stdout=StringIO())

        assert log_in() == 302
        with pytest.raises(CommandError, match="has no second factor"):
            call_command("remove_second_factor", "anna")

    def test_with_another_secret_key_backup_codes_still_let_in(
        self, anna: User, settings: Settings
    ) -> None:
        secret, codes = set_up(anna)
        settings.SECRET_KEY, former = "another", settings.SECRET_KEY

        assert log_in(code_of(secret)) == 200
        assert log_in(codes[0]) == 302
        with pytest.raises(CommandError, match="second factors of: anna"):
            call_command("renew_secrets")
        settings.SECRET_KEY_FALLBACKS = [former]
        call_command("renew_secrets", stdout=StringIO())
        settings.SECRET_KEY_FALLBACKS = []
        assert log_in(code_of(secret)) == 302
