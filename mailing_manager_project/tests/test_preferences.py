"""Each user has the console in their own language and time zone; REST has its own, always."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.urls import reverse
from django.utils import translation

from clients.models import Client
from mailings.models import Mailing
from messages_app.models import ErrorCode
from toolkit.access.models import Preferences, preferences_of
from toolkit.history.models import Entry

pytestmark = pytest.mark.django_db
PAGE, CLIENTS = "/admin/preferences/", "/admin/clients/client/"
RUSSIAN = {"accept-language": "ru-RU,ru;q=0.9,en;q=0.8"}


@pytest.fixture
def viewer() -> User:
    # Without a password, because hashing one takes longer than a test.
    return User.objects.create(username="vera", is_staff=True)


@pytest.fixture
def browser(client: Browser, viewer: User) -> Browser:
    client.force_login(viewer)
    return client


@pytest.fixture
def admin_user() -> User:
    return User.objects.create(username="admin", is_staff=True, is_superuser=True)


def shown(browser: Browser, address: str, **options: Any) -> str:
    answer = browser.get(address, **options)
    assert answer.status_code == 200
    return str(answer.content.decode())


class TestPage:
    def test_saves_what_somebody_without_any_right_likes(
        self, browser: Browser, viewer: User
    ) -> None:
        form = {
            "language": "ru",
            "timezone": "Asia/Yekaterinburg",
            "phone_number": "+7 (999) 123-45-67",
        }
        answer = browser.post(PAGE, form)

        assert answer.status_code == 302
        mine = preferences_of(viewer)
        assert (mine.language, mine.timezone) == ("ru", "Asia/Yekaterinburg")
        assert mine.phone_number == "79991234567"
        entry = Entry.objects.get(kind="users", key=viewer.pk, deed="changed")
        assert entry.username == "vera"
        assert entry.changes["timezone"] == ["", "Asia/Yekaterinburg"]

    def test_is_in_the_account_menu(self, browser: Browser) -> None:
        assert f'href="{PAGE}"' in shown(browser, "/admin/")

    def test_is_for_nobody_who_is_not_logged_in(self, client: Browser) -> None:
        assert client.get(PAGE).status_code == 302
        assert client.post(PAGE, {"language": "ru"}).status_code == 302
        assert not Preferences.objects.exists()

    @pytest.mark.parametrize(
        "form", [{"language": "xx"}, {"timezone": "Mars/Base"}, {"phone_number": "call me"}]
    )
    def test_says_what_is_wrong_and_saves_nothing(
        self, browser: Browser, form: dict[str, str]
    ) -> None:
        answer = browser.post(PAGE, form)

        assert answer.status_code == 200
        assert set(answer.context["form"].errors) == set(form)
        assert not Preferences.objects.exists()

    def test_goes_back_to_what_the_browser_says(self, browser: Browser, viewer: User) -> None:
        Preferences.objects.create(user=viewer, language="ru", timezone="Asia/Tokyo")

        browser.post(PAGE, {"language": "", "timezone": "", "phone_number": ""})

        assert 'lang="en"' in shown(browser, PAGE)

    def test_goes_with_its_user(self, viewer: User) -> None:
        Preferences.objects.create(user=viewer, language="ru")

        viewer.delete()

        assert not Preferences.objects.exists()


class TestLanguage:
    def test_is_the_user_s_own_whatever_the_browser_says(
        self, browser: Browser, viewer: User
    ) -> None:
        Preferences.objects.create(user=viewer, language="en")
        assert 'lang="en"' in shown(browser, PAGE, headers=RUSSIAN)

        Preferences.objects.update(language="ru")
        assert 'lang="ru"' in shown(browser, PAGE)

    def test_is_the_browser_s_where_nobody_chose_one(self, browser: Browser) -> None:
        answer = browser.get(PAGE, headers=RUSSIAN)

        assert 'lang="ru"' in answer.content.decode()
        assert answer["Content-Language"] == "ru"
        assert "Accept-Language" in answer["Vary"]
        assert 'lang="en"' in shown(browser, PAGE, headers={"accept-language": "de"})

    def test_is_the_browser_s_on_the_page_of_the_login(self, client: Browser) -> None:
        assert "Войти" in shown(client, "/admin/login/", headers=RUSSIAN)

    def test_does_not_change_what_rest_answers(self, admin_client: Browser) -> None:
        user = User.objects.get(username="admin")
        Preferences.objects.create(user=user, language="ru", timezone="Asia/Tokyo")
        address = "/api/v1/clients/?tag=%00"
        plain = admin_client.get(address)

        admin_client.get("/admin/")
        answer = admin_client.get(address, headers=RUSSIAN)

        assert plain.status_code == answer.status_code == 400
        assert answer.content == plain.content
        assert "Content-Language" not in answer


class TestTimeZone:
    @pytest.fixture
    def noon(self, now: datetime) -> datetime:
        return (now + timedelta(days=2)).replace(hour=12, minute=0, second=0, microsecond=0)

    @pytest.fixture
    def page(self, noon: datetime, make_mailing: Callable[..., Mailing]) -> str:
        times = {"start_time": noon, "stop_time": noon + timedelta(hours=4)}
        mailing = make_mailing(status="scheduled", **times)
        return reverse("admin:mailings_mailing_change", args=[mailing.pk])

    def start(self, browser: Browser, page: str) -> str:
        [field] = re.findall('<input[^>]*name="start_time"[^>]*>', shown(browser, page))
        return str(re.findall('value=".*?T(.*?)"', field)[0])

    def test_is_the_user_s_own(self, admin_client: Browser, admin_user: User, page: str) -> None:
        admin_client.cookies["time_zone"] = "Asia/Tokyo"
        Preferences.objects.create(user=admin_user, timezone="Europe/Moscow")

        assert self.start(admin_client, page) == "15:00"
        assert "(Europe/Moscow)" in shown(admin_client, page)

    def test_is_the_browser_s_where_nobody_chose_one(
        self, admin_client: Browser, page: str
    ) -> None:
        admin_client.cookies["time_zone"] = "Asia/Tokyo"

        assert self.start(admin_client, page) == "21:00"

    @pytest.mark.parametrize("cookie", ["", "Mars/Base", "../../etc/passwd", "Europe/Moscow\0"])
    def test_is_the_installation_s_where_neither_says_one(
        self, cookie: str, admin_client: Browser, page: str
    ) -> None:
        admin_client.cookies["time_zone"] = cookie

        assert self.start(admin_client, page) == "12:00"

    def test_of_a_form_is_that_in_which_it_was_shown(
        self, admin_client: Browser, admin_user: User, page: str, noon: datetime
    ) -> None:
        """Though the operator has chosen another one, in another tab, before saving."""
        Preferences.objects.create(user=admin_user, timezone="Europe/Moscow")
        assert 'name="_time_zone" value="Europe/Moscow"' in shown(admin_client, page)
        Preferences.objects.update(timezone="Asia/Tokyo")

        form = {
            "text": "Hello",
            "start_time": f"{noon:%Y-%m-%d}T15:30",
            "stop_time": f"{noon:%Y-%m-%d}T19:00",
            "_time_zone": "Europe/Moscow",
        }
        answer = admin_client.post(page, form)

        assert answer.status_code == 302, answer.context["adminform"].form.errors
        assert Mailing.objects.get().start_time == noon.replace(minute=30)

    def test_of_days_in_a_filter_is_the_reader_s(
        self, admin_client: Browser, admin_user: User
    ) -> None:
        client = Client.objects.create(phone_number="79991234567")
        late = datetime(2026, 3, 1, 23, tzinfo=UTC)
        Client.objects.filter(pk=client.pk).update(created_at=late)
        Entry.objects.all().delete()
        Entry.objects.create(door="console", deed="changed", kind="clients", key="1", text="it")
        Entry.objects.update(at=late)
        address = "/admin/history/entry/?at_from=2026-03-02&at_to=2026-03-02"
        assert not admin_client.get(address).context["entries"]

        Preferences.objects.create(user=admin_user, timezone="Europe/Moscow", language="ru")

        assert len(admin_client.get(address).context["entries"]) == 1
        assert "02.03.2026 02:00:00" in shown(admin_client, "/admin/history/entry/")


def test_what_is_stored_is_english_whoever_does_it(
    admin_client: Browser, admin_user: User, make_mailing: Callable[..., Mailing]
) -> None:
    Preferences.objects.create(user=admin_user, language="ru")
    mailing = make_mailing()

    page = admin_client.post(f"/admin/mailings/mailing/{mailing.pk}/pause/", follow=True)

    assert f"Рассылка {mailing.pk}" in page.content.decode()
    entry = Entry.objects.get(kind="mailings", deed="paused")
    assert entry.text == f"Mailing {mailing.pk}"
    with translation.override("ru"):
        assert str(ErrorCode.CANCELLED.label) == "Рассылку отменили"
        assert ErrorCode.CANCELLED.stored == "The mailing was cancelled."


def test_models_and_fields_are_called_in_the_reader_s_language(
    admin_client: Browser, admin_user: User
) -> None:
    assert "Phone number" in shown(admin_client, CLIENTS + "add/")

    Preferences.objects.create(user=admin_user, language="ru")

    page = shown(admin_client, CLIENTS + "add/")
    assert "Номер телефона" in page
    assert "Клиенты" in page
