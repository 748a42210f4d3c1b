"""The console's frame: what every page has for keyboards, screen readers and lost people."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import OperationalError
from django.test import Client as Browser
from django.test import RequestFactory
from django.urls import reverse

from clients.models import Client
from mailing_manager_project.admin.first_day import steps
from mailing_manager_project.http.refusals import server_error
from mailings.models import Mailing
from messages_app.models import Heartbeat
from messages_app.sending.health import COMPONENTS
from toolkit.history.models import Entry

RUSSIAN = {"accept-language": "ru"}
LISTS = {
    "/admin/mailings/mailing/": "Mailings",
    "/admin/clients/client/": "Clients",
    "/admin/messages_app/message/": "Messages",
    "/admin/auth/user/": "Users",
}
NEW = {
    "/admin/mailings/mailing/add/": "New mailing",
    "/admin/clients/client/add/": "New client",
    "/admin/auth/user/add/": "New user",
    "/admin/knox/authtoken/add/": "New API token",
}


@pytest.fixture
def admin_user(db: None) -> User:
    # Without a password, because hashing one takes longer than a test.
    return User.objects.create(username="admin", is_staff=True, is_superuser=True)


class Outline(HTMLParser):
    """What a page says of its structure."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag in ("h1", "title"):
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        for tag in ("h1", "title"):
            if tag in self._open:
                self.texts[tag][-1] += data

    def text(self, tag: str) -> str:
        [text] = self.texts[tag]
        return " ".join(text.split())

    def all(self, tag: str, **attrs: str) -> list[dict[str, str | None]]:
        return [has for name, has in self.elements if name == tag and attrs.items() <= has.items()]


def outline(browser: Browser, address: str) -> Outline:
    answer = browser.get(address)
    assert answer.status_code == 200
    return Outline(answer.content.decode())


class TestEveryPage:
    @pytest.mark.parametrize("address", ["/admin/", *LISTS, *NEW, "/admin/preferences/"])
    def test_has_one_main_part_one_heading_and_a_way_past_the_menu(
        self, address: str, admin_client: Browser
    ) -> None:
        page = outline(admin_client, address)

        assert len(page.all("main")) == len(page.texts["h1"]) == 1
        assert page.all("a", href="#main-content")
        assert page.all("main", id="main-content")
        # The others are menus that open, which a script takes out of the landmarks.
        names = [each["aria-label"] for each in page.all("nav") if "aria-label" in each]
        assert "Menu" in names
        assert len(set(names)) == len(names)

    @pytest.mark.parametrize(("address", "title"), [*LISTS.items(), *NEW.items()])
    def test_is_called_by_what_it_shows(
        self, address: str, title: str, admin_client: Browser
    ) -> None:
        page = outline(admin_client, address)

        assert page.text("h1") == title
        assert page.text("title") == f"{title} | Mailing Manager"

    def test_of_a_row_is_called_by_the_row_and_leads_back_to_the_list(
        self, admin_client: Browser, make_mailing: Callable[..., Mailing]
    ) -> None:
        mailing = make_mailing()
        page = outline(admin_client, f"/admin/mailings/mailing/{mailing.pk}/change/")

        assert page.text("h1") == f"Mailing {mailing.pk}"
        assert page.all("a", href="/admin/mailings/mailing/")

    def test_of_a_row_s_history_leads_back_to_the_row(
        self, admin_client: Browser, make_mailing: Callable[..., Mailing]
    ) -> None:
        mailing = make_mailing()
        page = outline(admin_client, f"/admin/mailings/mailing/{mailing.pk}/history/")

        assert page.all("a", href=f"/admin/mailings/mailing/{mailing.pk}/change/")

    def test_opens_filters_and_the_account_menu_by_buttons(self, admin_client: Browser) -> None:
        page = outline(admin_client, "/admin/clients/client/")

        assert page.all("button", **{"aria-controls": "changelist-filter"})
        assert page.all("button", **{"aria-controls": "account-menu"})

    def test_says_what_happened_as_a_status(self, admin_client: Browser) -> None:
        form = {"language": "", "timezone": "", "phone_number": ""}
        answer = admin_client.post("/admin/preferences/", form, follow=True)

        page = answer.content.decode()
        assert re.search(r'role="status"[^<]*<div[^>]*>\s*Your preferences are saved', page)


def test_the_page_of_the_rest_api_leads_back(admin_client: Browser) -> None:
    page = outline(admin_client, reverse("docs"))

    assert page.all("a", href="/admin/")
    assert page.all("html", lang="en")


class TestErrors:
    def test_are_pages_with_a_way_back(self, client: Browser, admin_client: Browser) -> None:
        user = User.objects.create(username="vera", is_staff=True)
        client.force_login(user)

        for browser, address, status in (
            (client, "/admin/clients/client/", 403),
            (admin_client, "/admin/nothing/", 404),
            (admin_client, "/nothing", 404),
        ):
            answer = browser.get(address)
            assert answer.status_code == status
            page = Outline(answer.content.decode())
            assert page.all("a", href="/admin/")
            assert page.all("html", lang="en")
            assert page.text("h1")

    @pytest.mark.parametrize("address", ["/admin/nothing/", "/nothing"])
    def test_are_in_the_reader_s_language(self, address: str, admin_client: Browser) -> None:
        answer = admin_client.get(address, headers=RUSSIAN)

        assert answer.status_code == 404
        assert "Здесь ничего нет" in answer.content.decode()

    def test_a_form_of_another_login_says_so(self, admin_user: User) -> None:
        browser = Browser(enforce_csrf_checks=True)
        browser.force_login(admin_user)

        answer = browser.post("/admin/preferences/", {"language": "ru"})

        assert answer.status_code == 403
        assert "The page was too old" in answer.content.decode()

    def test_a_page_is_there_when_the_database_is_not(
        self, admin_client: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise OperationalError("away")

        monkeypatch.setattr("toolkit.console.locale.preferences_of", fail)
        admin_client.raise_request_exception = False

        answer = admin_client.get("/admin/", headers={**RUSSIAN, "x-request-id": "mine"})

        assert answer.status_code == 500
        page = answer.content.decode()
        assert "Не получилось" in page
        assert "mine" in page
        assert Outline(page).all("a", href="/admin/")


def test_the_page_of_a_mistake_asks_the_database_nothing() -> None:
    """Without the mark django_db, a query fails the test."""
    answer = server_error(RequestFactory().get("/admin/"))

    assert answer.status_code == 500
    assert "That did not work" in answer.content.decode()


class TestFirstDay:
    def request(self, user: User) -> Any:
        request = RequestFactory().get("/admin/")
        request.user = user
        return request

    def done(self, user: User) -> list[bool]:
        return [step.is_done for step in steps(self.request(user))]

    def test_is_a_list_of_what_is_to_do(self, admin_client: Browser) -> None:
        page = admin_client.get("/admin/").content.decode()

        assert "Until the first mailing goes out" in page
        assert "Bring in your clients" in page

    def test_ticks_itself_off(self, admin_user: User, now: Any) -> None:
        assert self.done(admin_user) == [False, False, False, False]

        Client.objects.create(phone_number="79991234567")
        for name in COMPONENTS:
            Heartbeat.objects.update_or_create(name=name, defaults={"at": now})
        Entry.objects.create(door="console", deed="tried", kind="mailings", key="1", text="it")

        assert self.done(admin_user) == [True, True, True, False]

    def test_is_over_with_the_first_mailing(
        self, admin_client: Browser, admin_user: User, make_mailing: Callable[..., Mailing]
    ) -> None:
        make_mailing(status="draft")
        assert self.done(admin_user)

        make_mailing(status="scheduled")

        assert self.done(admin_user) == []
        assert "Until the first mailing" not in admin_client.get("/admin/").content.decode()

    def test_is_for_those_who_can_do_it(self, admin_user: User) -> None:
        vera = User.objects.create(username="vera", is_staff=True)
        vera.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))

        assert self.done(vera) == []
