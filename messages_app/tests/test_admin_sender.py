import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from messages_app.ledger import folding
from messages_app.models import (
    Attempt,
    Doorbell,
    Heartbeat,
    Message,
    Posting,
    SendingControl,
)
from toolkit import clock
from toolkit.history.models import Entry

pytestmark = pytest.mark.django_db

ROOM = "/admin/messages_app/sendingcontrol/"
PAGE = f"{ROOM}1/change/"
STOPPED = "Sending is stopped"
MINUTE = timedelta(minutes=1)
EVERY_ROOM = ["/admin/", "/admin/mailings/mailing/", "/admin/clients/client/add/", "/admin/auth/"]

Queued = Callable[[], list[tuple[Any, ...]]]


@pytest.fixture
def admin_user(django_user_model: type[User]) -> User:
    # Without a password, because hashing one takes longer than a test.
    return django_user_model.objects.create(username="admin", is_staff=True, is_superuser=True)


@pytest.fixture
def opened() -> SendingControl:
    """Open the breaker, with the next probe in a minute."""
    now = clock.now()
    values = {"opened_at": now - MINUTE, "probe_at": now + MINUTE, "reason": "HTTP 503: down"}
    SendingControl.objects.update(**values, failures=20)
    return SendingControl.objects.get()


def html_of(browser: Browser, address: str) -> str:
    response = browser.get(address)
    assert response.status_code == 200
    return response.content.decode()


def operator(browser: Browser, *rights: str) -> Browser:
    user = User.objects.create_user("operator", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    browser.force_login(user)
    return browser


class TestPage:
    def test_is_where_the_list_leads(self, admin_client: Browser) -> None:
        response = admin_client.get(ROOM)
        assert (response.status_code, response.headers["location"]) == (302, PAGE)

    def test_is_the_only_one(self, admin_client: Browser) -> None:
        assert admin_client.get(f"{ROOM}add/").status_code == 403
        assert admin_client.post(f"{ROOM}1/delete/", {"post": "yes"}).status_code == 403
        assert "Delete" not in html_of(admin_client, PAGE)
        assert SendingControl.objects.count() == 1

    def test_sets_the_rate_lets_go_out_what_may_and_remembers_who_did_it(
        self,
        admin_client: Browser,
        queued: Queued,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            response = admin_client.post(PAGE, {"rate": "2.5"}, follow=True)
        assert response.redirect_chain == [(PAGE, 302)]
        assert "Messages go out at most 2.5 a second" in response.content.decode()
        assert SendingControl.objects.get().rate == 2.5
        assert queued() == [("send_message",)]
        assert Entry.objects.latest("pk").object == "sender/1"

    def test_writes_only_what_was_edited(
        self, admin_client: Browser, opened: SendingControl
    ) -> None:
        SendingControl.objects.update(rate=5, is_paused=True, next_slot_at=opened.probe_at)
        admin_client.post(PAGE, {"rate": "5"})
        row = SendingControl.objects.get()
        assert row.is_paused
        assert row.next_slot_at == opened.probe_at
        assert row.opened_at == opened.opened_at

    def test_takes_an_empty_rate_for_no_limit(self, admin_client: Browser) -> None:
        SendingControl.objects.update(rate=5)
        admin_client.post(PAGE, {"rate": ""})
        assert SendingControl.objects.get().rate is None

    @pytest.mark.parametrize("rate", ["0", "0.001", "-1", "1000001", "nan", "inf", "1e999", "x"])
    def test_refuses_a_rate_that_is_none(self, rate: str, admin_client: Browser) -> None:
        response = admin_client.post(PAGE, {"rate": rate})
        assert response.status_code == 200
        assert response.context["adminform"].form.errors["rate"]
        assert SendingControl.objects.get().rate is None

    def test_says_how_fast_messages_go_out(self, admin_client: Browser, settings: Settings) -> None:
        assert "go out as fast as the sender takes them" in html_of(admin_client, PAGE)
        settings.MESSAGE_SENDER_RATE = 20
        SendingControl.objects.update(rate=50)
        assert "go out at most 20 a second" in html_of(admin_client, PAGE)

    def test_leads_to_the_unconfirmed_messages_where_they_wait_for_a_decision(
        self, admin_client: Browser, settings: Settings
    ) -> None:
        link = "message/?status__exact=fail&amp;error_code=unconfirmed"
        assert link not in html_of(admin_client, PAGE)
        settings.MESSAGE_SENDER_IDEMPOTENT = False
        assert link in html_of(admin_client, PAGE)

    def test_keeps_its_panel_up_to_date(
        self, admin_client: Browser, opened: SendingControl
    ) -> None:
        assert f'data-live="{ROOM}panel/"' in html_of(admin_client, PAGE)
        panel = admin_client.get(f"{ROOM}panel/").json()["parts"]["state"]["html"]
        assert "20 failed attempts in a row." in panel
        assert f"The next try is at {opened.probe_at:%Y-%m-%d %H:%M:%S}." in panel
        assert "<html" not in panel


class TestLately:
    def parts(self, browser: Browser) -> dict[str, str]:
        parts = browser.get(f"{ROOM}panel/?full=1").json()["parts"]
        return {name: part["html"] for name, part in parts.items()}

    def test_says_how_fast_it_goes_what_was_answered_and_who_waits(
        self, admin_client: Browser, make_mailing: Callable[..., Any]
    ) -> None:
        mailing, now = make_mailing(), clock.now()

        def post(account: str, number: int) -> None:
            values = {"before": "", "after": account, "number": number, "message_ids": bytes(8)}
            Posting.objects.create(mailing=mailing, at=now, **values)

        post("success||1|UTC", 1_200)
        post("retry|throttled|0|UTC", 300)
        post("fail|expired|0|UTC", 99)  # nobody asked the sender
        post("pending||0|UTC", 5_000)
        folding.fold_all()
        later = now + MINUTE
        Doorbell.objects.create(mailing=mailing, lane=0, expires_at=later, is_answered=False)
        parts = self.parts(admin_client)
        said = " ".join(parts["lately"].split())
        assert "Accepted: <b>80 %</b>" in said
        assert "The sender wants fewer messages: <b>20 %</b>" in said
        assert "The stop time came first" not in said
        assert f"Mailing {mailing.pk}" in said
        assert said.count("5,300") == 2  # of it, and altogether
        assert "1,200 Sent" in parts["hour"]

    def test_names_the_last_attempts_that_failed(
        self, admin_client: Browser, make_mailing: Callable[..., Any]
    ) -> None:
        message = Message.objects.create(mailing=make_mailing(), status="fail")
        for number in range(1, 8):
            Attempt.objects.create(
                message=message,
                number=number,
                error_code="" if number == 7 else "unavailable",
                error=f"HTTP 503, number {number}",
            )
        said = self.parts(admin_client)["lately"]
        assert [f"number {number}<" in said for number in range(1, 8)] == [False] + [True] * 5 + [
            False
        ]

    def test_asks_so_much_and_no_more(
        self,
        admin_client: Browser,
        make_mailing: Callable[..., Any],
        django_assert_max_num_queries: Any,
    ) -> None:
        for _ in range(20):
            mailing = make_mailing()
            Doorbell.objects.create(
                mailing=mailing, lane=0, expires_at=clock.now() + MINUTE, is_answered=False
            )
            Posting.objects.create(
                mailing=mailing, before="", after="pending||0|UTC", number=9, message_ids=bytes(8)
            )
        # Session, user, preferences, control, heartbeats, home; outcomes; doorbells, leases, their
        # balances, two of rates, three for each that is shown; three of the rate of all; pulse;
        # attempts.
        with django_assert_max_num_queries(6 + 1 + 3 + 2 + 3 * 5 + 3 + 2 + 1):
            admin_client.get(f"{ROOM}panel/")


class TestTryingTheSender:
    def test_is_a_button_while_the_breaker_is_open(
        self, admin_client: Browser, opened: SendingControl
    ) -> None:
        assert "Try the sender now" in html_of(admin_client, PAGE)
        SendingControl.objects.update(opened_at=None, probe_at=None)
        assert "Try the sender now" not in html_of(admin_client, PAGE)

    def test_brings_the_next_probe_forward(
        self,
        admin_client: Browser,
        opened: SendingControl,
        queued: Queued,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            response = admin_client.post(f"{ROOM}probe/", follow=True)
        page = response.content.decode()
        assert "The next message that is due tries the sender now." in page
        assert "The next message that is due is the next try." in page
        probe_at = SendingControl.objects.get().probe_at
        assert probe_at
        assert probe_at <= clock.now()
        assert queued() == [("send_message",)]

    def test_is_refused_in_words_when_there_is_nothing_to_try(self, admin_client: Browser) -> None:
        page = admin_client.post(f"{ROOM}probe/", follow=True).content.decode()
        assert "The breaker is closed; messages are sent without a probe." in page

    def test_is_not_done_by_following_a_link(
        self, admin_client: Browser, opened: SendingControl
    ) -> None:
        assert admin_client.get(f"{ROOM}probe/").status_code == 405


class TestBanner:
    def test_says_why_the_sender_is_left_in_peace_and_until_when(
        self, admin_client: Browser, opened: SendingControl
    ) -> None:
        page = html_of(admin_client, "/admin/")
        assert f"no messages since {opened.opened_at:%Y-%m-%d %H:%M:%S}." in page
        assert f"The next try is at {opened.probe_at:%Y-%m-%d %H:%M:%S}." in page
        assert "The reason: HTTP 503: down" in page

    def test_says_who_has_gone_silent(self, admin_client: Browser) -> None:
        now = clock.now()
        Heartbeat.objects.create(name="beat", at=now - 2 * MINUTE)
        Heartbeat.objects.create(name="send_message", at=now - 4.5 * MINUTE)
        page = html_of(admin_client, "/admin/clients/client/")
        assert "Sending has had no heartbeat for 4 minutes." in page
        assert "The clock has shown" not in page

    def test_leads_only_those_to_the_sender_who_may_see_it(
        self, client: Browser, opened: SendingControl
    ) -> None:
        page = html_of(operator(client, "view_mailing"), "/admin/")
        assert "HTTP 503: down" in page
        assert PAGE not in page


class TestStop:
    @pytest.mark.parametrize("address", EVERY_ROOM)
    def test_can_be_pressed_on_every_page_and_is_told_there(
        self, address: str, admin_client: Browser
    ) -> None:
        page = html_of(admin_client, address)
        assert f'action="{ROOM}stop/"' in page
        assert STOPPED not in page
        SendingControl.objects.update(is_paused=True)
        page = html_of(admin_client, address)
        assert page.count(STOPPED) == 1
        assert f'action="{ROOM}resume/"' in page
        assert f'action="{ROOM}stop/"' not in page

    def test_holds_all_back_and_says_who_since_when_and_why(
        self, admin_client: Browser, admin_user: User
    ) -> None:
        asked = {"reason": " The  text is\0 wrong ", "page": "/admin/clients/client/?q=7"}
        response = admin_client.post(f"{ROOM}stop/", asked)
        assert response.headers["location"] == "/admin/clients/client/?q=7"
        row = SendingControl.objects.get()
        assert (row.is_paused, row.paused_by) == (True, "admin")
        assert row.pause_reason == "The text is wrong"
        assert row.paused_at
        said = f"{STOPPED} by admin since {row.paused_at:%H:%M}: The text is wrong"
        assert said in html_of(admin_client, "/admin/")
        entry = Entry.objects.latest("pk")
        assert entry.changes == {
            "is_paused": [False, True], "pause_reason": ["", "The text is wrong"]
        }  # fmt: skip

    def test_is_taken_back_with_its_reason(
        self, admin_client: Browser, queued: Queued, django_capture_on_commit_callbacks: Any
    ) -> None:
        admin_client.post(f"{ROOM}stop/", {"reason": "Why not"})
        with django_capture_on_commit_callbacks(execute=True):
            page = admin_client.post(f"{ROOM}resume/", follow=True).content.decode()
        assert "Sending goes on." in page
        assert STOPPED not in page
        row = SendingControl.objects.get()
        assert (row.is_paused, row.paused_by, row.paused_at) == (False, "", None)
        assert row.pause_reason == ""
        assert queued() == [("send_message",)]

    def test_that_stands_is_not_given_to_whoever_presses_it_again(
        self, client: Browser, admin_client: Browser
    ) -> None:
        admin_client.post(f"{ROOM}stop/", {"reason": "First"})
        operator(client, "change_sendingcontrol").post(f"{ROOM}stop/", {"reason": "Second"})
        row = SendingControl.objects.get()
        assert (row.paused_by, row.pause_reason) == ("admin", "Second")

    def test_says_the_day_if_that_is_not_today(self, admin_client: Browser) -> None:
        at = clock.now() - timedelta(days=2)
        SendingControl.objects.update(is_paused=True, paused_by="olga", paused_at=at)
        assert f"by olga since {at:%Y-%m-%d %H:%M}" in html_of(admin_client, "/admin/")

    def test_answers_a_script_with_the_parts_of_the_header(self, admin_client: Browser) -> None:
        headers = {"HX-Request": "true", "Referer": "http://testserver/admin/auth/?q=1"}
        html = admin_client.post(f"{ROOM}stop/", headers=headers).content.decode()
        assert "<html" not in html
        assert html.count('hx-swap-oob="true"') == 2
        assert STOPPED in html
        assert 'value="/admin/auth/?q=1"' in html

    def test_names_the_page_that_is_shown_to_whoever_asks_for_its_parts(
        self, admin_client: Browser
    ) -> None:
        headers = {"HX-Request": "true", "Referer": "http://testserver/admin/auth/?q=1"}
        parts = admin_client.get(f"{ROOM}troubles/", headers=headers).json()["parts"]
        assert 'value="/admin/auth/?q=1"' in parts["stop_button"]["html"]

    @pytest.mark.parametrize("page", ["https://elsewhere.example/", "//elsewhere.example/", ""])
    def test_leads_to_no_page_but_ours(self, page: str, admin_client: Browser) -> None:
        response = admin_client.post(f"{ROOM}stop/", {"page": page})
        assert response.headers["location"] == "/admin/"

    @pytest.mark.parametrize("verb", ["stop", "resume"])
    def test_is_not_done_by_following_a_link(self, verb: str, admin_client: Browser) -> None:
        assert admin_client.get(f"{ROOM}{verb}/").status_code == 405

    def test_costs_a_page_no_query_of_its_own(self, admin_client: Browser) -> None:
        with CaptureQueriesContext(connection) as seen:
            html_of(admin_client, "/admin/auth/")
        of_control = [each for each in seen if "messages_app_brakes" in each["sql"]]
        assert len(of_control) == 1

    def test_is_seen_without_a_button_by_those_who_may_not_press_it(self, client: Browser) -> None:
        browser = operator(client, "view_mailing")
        assert f"{ROOM}stop/" not in html_of(browser, "/admin/")
        SendingControl.objects.update(is_paused=True, pause_reason="Why not")
        page = html_of(browser, "/admin/")
        assert "Why not" in page
        assert f"{ROOM}resume/" not in page
        for verb in ("stop", "resume"):
            assert browser.post(f"{ROOM}{verb}/").status_code == 403

    def test_is_not_for_whom_it_does_not_concern(self, client: Browser) -> None:
        SendingControl.objects.update(is_paused=True)
        assert STOPPED not in html_of(client, "/admin/login/")
        browser = operator(client, "view_user")
        assert STOPPED not in html_of(browser, "/admin/")

    def test_appears_on_pages_that_are_open(self, admin_client: Browser, client: Browser) -> None:
        address = f"{ROOM}troubles/"
        assert f'data-live-banner="{address}"' in html_of(admin_client, "/admin/clients/client/")
        quiet = admin_client.get(address)
        assert STOPPED not in quiet.json()["parts"]["stop_bar"]["html"]
        SendingControl.objects.update(is_paused=True)
        known = {"If-None-Match": quiet.headers["ETag"]}
        loud = admin_client.get(address, headers=known)
        assert STOPPED in loud.json()["parts"]["stop_bar"]["html"]
        assert loud.json()["parts"]["stop_button"]["html"].count("<button") == 0
        mailings = admin_client.get("/admin/mailings/mailing/overview/").json()
        assert STOPPED in mailings["parts"]["stop_bar"]["html"]
        assert operator(client, "view_user").get(address).status_code == 403


class TestSignsOfLife:
    @pytest.mark.parametrize("address", ["/admin/", PAGE])
    def test_are_shown_on_the_first_page_and_on_the_sender_s(
        self, address: str, admin_client: Browser
    ) -> None:
        now = clock.now()
        Heartbeat.objects.create(name="beat", at=now)
        Heartbeat.objects.create(name="send_message", at=now - 3.5 * MINUTE)
        page = html_of(admin_client, address)
        assert re.search(r"alive \d+ s ago", page)
        assert "no heartbeat yet" in page
        assert "no heartbeat for 3 minutes" in page


class TestRights:
    def test_who_may_not_see_it_is_kept_out(self, client: Browser, opened: SendingControl) -> None:
        browser = operator(client, "view_message")
        for address in (PAGE, f"{ROOM}panel/"):
            assert browser.get(address).status_code == 403
        assert browser.post(f"{ROOM}probe/").status_code == 403

    def test_who_may_only_look_changes_nothing(
        self, client: Browser, opened: SendingControl
    ) -> None:
        browser = operator(client, "view_sendingcontrol")
        page = html_of(browser, PAGE)
        assert "HTTP 503: down" in page
        assert "Try the sender now" not in page
        assert 'name="_save"' not in page
        assert browser.post(PAGE, {"rate": "5"}).status_code == 403
        assert browser.post(f"{ROOM}probe/").status_code == 403
        unchanged = SendingControl.objects.get()
        assert (unchanged.is_paused, unchanged.probe_at) == (False, opened.probe_at)
