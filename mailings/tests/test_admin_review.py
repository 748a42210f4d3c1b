"""The review of a draft in the console, and its launch."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser
from django.utils import timezone

from clients.models import Client
from mailings.admin import reviewing
from mailings.models import Mailing
from mailings.tasks import start_mailing
from toolkit.history.models import Entry

pytestmark = pytest.mark.django_db

LIST = "/admin/mailings/mailing/"
HOUR = timedelta(hours=1)

MakeClients = Callable[..., list[Client]]
MakeDraft = Callable[..., Mailing]


@pytest.fixture
def admin_user(django_user_model: type[User]) -> User:
    # Without a password, because hashing one takes longer than a test.
    return django_user_model.objects.create(username="admin", is_staff=True, is_superuser=True)


@pytest.fixture
def make_draft(make_mailing: Callable[..., Mailing]) -> MakeDraft:
    """Return a function that makes a draft whose time has come."""

    def make(**values: Any) -> Mailing:
        now = timezone.now()
        times = {"start_time": now - HOUR, "stop_time": now + HOUR}
        return make_mailing(status="draft", **{**times, **values})

    return make


def review(browser: Browser, mailing: Mailing) -> str:
    answer = browser.get(f"{LIST}{mailing.pk}/review/")
    assert answer.status_code == 200
    return answer.content.decode()


def launch(browser: Browser, mailing: Mailing, **form: Any) -> str:
    return browser.post(f"{LIST}{mailing.pk}/launch/", form, follow=True).content.decode()


def login(browser: Browser, *rights: str) -> Browser:
    user = User.objects.create_user("anna", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    browser.force_login(user)
    return browser


class TestReview:
    def test_shows_the_text_the_parts_the_audience_and_when(
        self, admin_client: Browser, make_draft: MakeDraft, make_clients: MakeClients
    ) -> None:
        make_clients(3, tag="vip", timezone="Europe/Moscow")
        make_clients(2, tag="new", timezone="Asia/Tokyo")
        mailing = make_draft(text="x" * 161, filters={"tag": "vip"})
        page = review(admin_client, mailing)
        assert f'<div class="mailing-bubble">{"x" * 161}</div>' in page
        assert "2 parts" in page
        assert "161 of 306 in GSM-7" in page
        assert "2 parts × 3 clients = 6 parts in all" in page
        assert "Europe/Moscow" in page
        assert "Asia/Tokyo" not in page
        assert "Tag vip" in page
        assert page.count('<a href="/admin/clients/client/') >= 3 + 1
        assert "Done about" in page
        assert "Send to 3 clients now" in page

    def test_says_for_when_one_is_scheduled(
        self, admin_client: Browser, make_draft: MakeDraft, make_clients: MakeClients
    ) -> None:
        make_clients(1)
        start = timezone.now() + 30 * HOUR
        page = review(admin_client, make_draft(start_time=start, stop_time=start + HOUR))
        assert f"Schedule for {start:%a %H:%M} (1 client)" in page

    def test_says_loudly_that_it_reaches_nobody_or_everybody(
        self, admin_client: Browser, make_draft: MakeDraft, make_clients: MakeClients
    ) -> None:
        make_clients(2)
        assert "This goes to everybody: 2 clients." in review(admin_client, make_draft())
        page = review(admin_client, make_draft(filters={"tag": "nobody"}))
        assert "No client matches: nothing would be sent now." in page
        assert "Launch, although it reaches nobody now" in page

    def test_says_in_red_how_many_will_miss_the_stop_time_and_what_would_help(
        self,
        admin_client: Browser,
        make_draft: MakeDraft,
        make_clients: MakeClients,
        settings: Any,
    ) -> None:
        settings.MESSAGE_SENDER_RATE = 0.01
        make_clients(100)
        page = review(admin_client, make_draft())
        assert "about 64 clients will not be reached before the stop time" in page
        assert "A stop time after" in page
        assert "messages a second would do." in page

    def test_of_one_whose_stop_time_has_passed_offers_no_launch(
        self, admin_client: Browser, make_draft: MakeDraft, now: datetime
    ) -> None:
        now = timezone.now()
        mailing = make_draft(start_time=now - 2 * HOUR, stop_time=now - HOUR)
        page = review(admin_client, mailing)
        assert "The stop time has passed: edit it before you launch." in page
        assert f"{LIST}{mailing.pk}/launch/" not in page
        assert "The stop time has passed" in launch(admin_client, mailing)
        assert Mailing.objects.get().status == "draft"

    def test_of_a_mailing_that_was_launched_is_its_page(
        self, admin_client: Browser, make_mailing: Callable[..., Mailing]
    ) -> None:
        mailing = make_mailing()
        answer = admin_client.get(f"{LIST}{mailing.pk}/review/")
        assert answer.headers["Location"] == f"{LIST}{mailing.pk}/change/"

    def test_has_no_button_for_who_may_only_look_and_no_numbers_of_clients(
        self, client: Browser, make_draft: MakeDraft, make_clients: MakeClients
    ) -> None:
        [somebody] = make_clients(1)
        mailing = make_draft()
        page = review(login(client, "view_mailing"), mailing)
        assert "Keep as draft" in page
        assert f"{LIST}{mailing.pk}/launch/" not in page
        assert somebody.phone_number not in page
        assert client.post(f"{LIST}{mailing.pk}/launch/").status_code == 403
        client.logout()
        assert client.get(f"{LIST}{mailing.pk}/review/").status_code == 302

    @pytest.mark.parametrize("number", [3, 300])
    def test_asks_as_many_questions_however_many_clients_there_are(
        self,
        number: int,
        admin_client: Browser,
        make_draft: MakeDraft,
        make_clients: MakeClients,
        django_assert_max_num_queries: Any,
    ) -> None:
        make_clients(number)
        mailing = make_draft()
        with django_assert_max_num_queries(20):
            review(admin_client, mailing)


class TestLaunch:
    def test_has_the_mailing_sent(
        self,
        admin_client: Browser,
        make_draft: MakeDraft,
        make_clients: MakeClients,
        queued: Callable[[], list[Any]],
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        make_clients(3, tag="vip")
        make_clients(2, tag="new")
        mailing = make_draft(filters={"tag": "vip"})
        with django_capture_on_commit_callbacks(execute=True):
            page = launch(admin_client, mailing, version=mailing.updated_at.isoformat())
        assert "Launched: sending begins now." in page
        assert queued() == [("start_mailing", mailing.pk)]
        start_mailing(mailing.pk)
        mailing.refresh_from_db()
        assert (mailing.status, mailing.messages.count()) == ("running", 3)
        assert [entry.deed for entry in Entry.objects.of(f"mailings/{mailing.pk}")] == [
            "started",
            "launched",
        ]

    def test_is_of_what_was_reviewed_and_of_nothing_else(
        self, admin_client: Browser, make_draft: MakeDraft
    ) -> None:
        mailing = make_draft()
        seen = mailing.updated_at
        mailing.text = "Somebody else was here"
        mailing.save()
        page = launch(admin_client, mailing, version=seen.isoformat())
        assert "Somebody else changed this mailing meanwhile." in page
        assert Mailing.objects.get().status == "draft"

    def test_to_many_of_everybody_is_confirmed_by_typing_how_many(
        self,
        admin_client: Browser,
        make_draft: MakeDraft,
        make_clients: MakeClients,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(reviewing, "TYPED_ABOVE", 1_000)
        make_clients(1_200)
        mailing = make_draft()
        assert "Type how many that are, 1,200," in review(admin_client, mailing)
        for form in ({}, {"typed": "yes", "total": "1200"}, {"typed": "12", "total": "1200"}):
            assert "Type how many clients that are" in launch(admin_client, mailing, **form)
        page = launch(admin_client, mailing, typed="900", total="900")
        assert "There are other clients by now." in page
        assert Mailing.objects.get().status == "draft"
        launch(admin_client, mailing, typed="1 200", total="1200")
        assert Mailing.objects.get().status == "scheduled"

    def test_to_some_needs_no_typing(
        self,
        admin_client: Browser,
        make_draft: MakeDraft,
        make_clients: MakeClients,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(reviewing, "TYPED_ABOVE", 1)
        make_clients(3, tag="vip")
        mailing = make_draft(filters={"tag": "vip"})
        assert 'name="typed"' not in review(admin_client, mailing)
        launch(admin_client, mailing)
        assert Mailing.objects.get().status == "scheduled"

    @pytest.mark.parametrize("version", ["nonsense", "2026-99-99T00:00:00Z", "\0"])
    def test_takes_nonsense_for_a_version(
        self, version: str, admin_client: Browser, make_draft: MakeDraft
    ) -> None:
        answer = admin_client.post(f"{LIST}{make_draft().pk}/launch/", {"version": version})
        assert answer.status_code == 302

    def test_does_nothing_when_its_address_is_only_followed(
        self, admin_client: Browser, make_draft: MakeDraft
    ) -> None:
        assert admin_client.get(f"{LIST}{make_draft().pk}/launch/").status_code == 405
        assert Mailing.objects.get().status == "draft"
