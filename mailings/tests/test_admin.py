import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone, translation
from rest_framework.test import APIClient

from clients.models import Client
from mailings import services
from mailings.admin import conflict, labels, overview
from mailings.closing import finish_mailing
from mailings.explaining import Verdict
from mailings.models import Mailing
from mailings.tasks import start_mailing
from messages_app.ledger import folding
from messages_app.ledger.reconciling import reconcile
from messages_app.models import Message, SendingControl, Standing
from messages_app.tests.scenes import open_books
from tests.console import button_of, confirm, question_of
from toolkit.history.models import Entry
from toolkit.rest.schema import meanings_of

pytestmark = pytest.mark.django_db

LIST = "/admin/mailings/mailing/"
Status = Mailing.Status
HOURS = {"window_start": time(9, 30), "window_end": time(21)}

MakeMailing = Callable[..., Mailing]
MakeClients = Callable[..., list[Client]]
MakePlanned = Callable[[int], None]
Queued = Callable[[], list[tuple[Any, ...]]]


@pytest.fixture
def admin_user(django_user_model: type[User]) -> User:
    # Without a password, because hashing one takes longer than a test.
    return django_user_model.objects.create(username="admin", is_staff=True, is_superuser=True)


def page_of(mailing: Mailing) -> str:
    return reverse("admin:mailings_mailing_change", args=[mailing.pk])


def form_of(page: Any) -> dict[str, Any]:  # a response with the test client's context
    """Return what a browser would send back from a page, had nobody touched it."""
    sent: dict[str, Any] = {}
    for bound in page.context["adminform"].form:
        widget = bound.field.widget.get_context(bound.html_name, bound.value(), {})["widget"]
        for part in widget.get("subwidgets", [widget]):
            groups = part.get("optgroups", [])
            options = [option for _, group, _ in groups for option in group]
            chosen = [option["value"] for option in options if option["selected"]]
            sent[part["name"]] = chosen if "optgroups" in part else part["value"] or ""
    return sent


def new(**values: Any) -> dict[str, Any]:
    now = timezone.now()
    return {
        "text": "Hello",
        "begins": "now",
        "stop_time": f"{now + timedelta(days=1):%Y-%m-%dT%H:%M}",
        **values,
    }


def panel_of(browser: Browser, mailing: Mailing) -> str:
    """Return all parts of a mailing's panel, as the page asks for them."""
    response = browser.get(f"{LIST}{mailing.pk}/panel/?full=1")
    assert response.status_code == 200
    return " ".join(part["html"] for part in response.json()["parts"].values())


def plan(mailing: Mailing, make_clients: MakeClients, now: datetime, **by_status: int) -> None:
    """Give a mailing so many messages of each status."""
    for status, number in by_status.items():
        done = status == "success"
        Message.objects.bulk_create(
            Message(
                mailing=mailing,
                client=client,
                status=status,
                next_attempt_at=None if done else now,
                phone_number=client.phone_number,
            )
            for client in make_clients(number)
        )
    reconcile(mailing.pk)


@pytest.fixture
def make_planned(
    make_mailing: MakeMailing, make_clients: MakeClients, now: datetime
) -> MakePlanned:
    """Return a function that saves mailings, each with a message sent and one that waits."""

    def make(number: int) -> None:
        for _ in range(number):
            plan(make_mailing(), make_clients, now, success=1, pending=1)

    return make


def selected(action: str, *mailings: Mailing) -> dict[str, Any]:
    return {"action": action, "_selected_action": [mailing.pk for mailing in mailings]}


def do_with(browser: Browser, action: str, *mailings: Mailing) -> str:
    return browser.post(LIST, selected(action, *mailings), follow=True).content.decode()


class TestCreating:
    def test_a_new_mailing_is_a_draft_which_is_reviewed_next(
        self, admin_client: Browser, queued: Queued, django_capture_on_commit_callbacks: Any
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            response = admin_client.post(f"{LIST}add/", new(tag=["vip"]))
        mailing = Mailing.objects.get()
        assert (mailing.status, mailing.filters) == (Status.DRAFT, {"tag": ["vip"]})
        assert response.headers["Location"] == f"{LIST}{mailing.pk}/review/"
        assert queued() == []

    def test_the_form_suggests_to_begin_at_the_launch_and_to_end_tomorrow(
        self, admin_client: Browser
    ) -> None:
        form = form_of(admin_client.get(f"{LIST}add/"))
        assert (form["begins"], form["start_time"]) == (["now"], "")
        ends_in = datetime.fromisoformat(f"{form['stop_time']}Z") - timezone.now()
        assert timedelta(hours=23, minutes=58) < ends_in <= timedelta(days=1)

    def test_one_that_begins_at_the_launch_has_a_start_time_that_has_come(
        self, admin_client: Browser
    ) -> None:
        admin_client.post(f"{LIST}add/", new(start_time="2099-01-01T00:00"))
        assert timezone.now() - Mailing.objects.get().start_time < timedelta(minutes=1)

    def test_one_that_begins_at_a_time_has_that_time_in_the_zone_of_the_operator(
        self, admin_client: Browser
    ) -> None:
        admin_client.cookies["time_zone"] = "Europe/Moscow"
        times = {"start_time": "2099-01-01T09:00", "stop_time": "2099-01-02T00:00"}
        admin_client.post(f"{LIST}add/", new(begins="at", **times))
        mailing = Mailing.objects.get()
        page = admin_client.get(page_of(mailing))
        assert mailing.start_time == datetime(2099, 1, 1, 6, tzinfo=UTC)
        assert form_of(page)["begins"] == ["at"]
        assert 'value="2099-01-01T09:00"' in page.content.decode()

    @pytest.mark.parametrize(
        ("values", "field", "reason"),
        [
            ({"text": " "}, "text", "Write what the clients will read."),
            ({"text": "x" * 4097}, "text", "at most 4096 characters"),
            ({"text": "NUL \0"}, "text", "Null characters are not allowed."),
            ({"stop_time": "2020-01-01T00:00"}, "stop_time", "later than the start time"),
            ({"stop_time": "someday"}, "stop_time", "Enter a valid date/time."),
            ({"stop_time": ""}, "stop_time", "Say when sending ends"),
            ({"begins": "at"}, "start_time", "Say when it starts"),
            ({"begins": "at", "start_time": "9"}, "start_time", "Enter a valid date/time."),
            ({"timezone": ["Nowhere/Land"]}, "timezone", "IANA names"),
            ({"tag": ["x" * 65]}, "tag", "up to 64 characters"),
            ({"operator_code": ["9\0"]}, "operator_code", "that can be read"),
            ({"operator_code": ["926", "abc"]}, "operator_code", "These are not: abc."),
            ({"window_start": "9 o'clock"}, "window_start", "such as 9, 9:00 or 21.30"),
            ({"window_start": "09:00"}, "window_end", "or leave both empty"),
            ({"window_end": "21:00"}, "window_start", "or leave both empty"),
            ({"window_start": "9:00", "window_end": "09:00"}, "window_end", "never be open"),
        ],
    )
    def test_what_cannot_be_sent_is_refused_beside_its_field(
        self, values: dict[str, Any], field: str, reason: str, admin_client: Browser
    ) -> None:
        response = admin_client.post(f"{LIST}add/", new(**values))
        assert response.status_code == 200
        [said] = response.context["adminform"].form.errors[field]
        assert reason in said
        assert not Mailing.objects.exists()

    def test_all_that_is_wrong_is_said_at_once_in_words(self, admin_client: Browser) -> None:
        wrong = {"text": " ", "stop_time": "2020-01-01T00:00", "window_start": "9"}
        response = admin_client.post(f"{LIST}add/", new(**wrong, operator_code=["abc"]))
        errors = response.context["adminform"].form.errors
        assert set(errors) == {"text", "stop_time", "window_end", "operator_code"}
        assert "onstraint" not in response.content.decode()

    @pytest.mark.parametrize("written", ["9", "09", "9:00", "9.00", "09:00:00", " 9 "])
    def test_hours_are_written_as_people_do(self, written: str, admin_client: Browser) -> None:
        admin_client.post(f"{LIST}add/", new(window_start=written, window_end="21.30"))
        assert Mailing.objects.get().window == (time(9), time(21, 30))

    def test_a_refused_form_keeps_what_was_written(self, admin_client: Browser) -> None:
        written = new(stop_time="2020-01-01T00:00", tag=["vip", "new"], operator_code=["999"])
        page = admin_client.post(f"{LIST}add/", written)
        again = form_of(page)
        assert (again["tag"], again["operator_code"]) == (["vip", "new"], ["999"])
        assert '<option value="vip" selected>vip</option>' in page.content.decode()

    def test_the_hours_of_the_day_are_each_client_s_own(self, admin_client: Browser) -> None:
        page = admin_client.get(f"{LIST}add/").content.decode()
        assert page.count("each client&#x27;s own local time") == 2
        admin_client.post(f"{LIST}add/", new(window_start="22:00", window_end="6:30"))
        assert Mailing.objects.get().window == (time(22), time(6, 30))


class TestEditing:
    @pytest.mark.parametrize(
        "filters",
        [
            {},
            {"tag": "vip"},
            {"operator_code": ["999", "926"], "timezone": "Europe/Moscow"},
            {"timezone": ["Europe/Moscow", "UTC"], "tag": ["a", "b, c"]},
        ],
    )
    def test_a_form_saved_untouched_changes_nothing(
        self, filters: dict[str, Any], admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        hours = {"window_start": time(9, 0, 30), "window_end": time(21)}
        mailing = make_mailing(filters=filters, last_run_time=timezone.now(), **hours)
        admin_client.post(page_of(mailing), form_of(admin_client.get(page_of(mailing))))
        saved = Mailing.objects.get()
        names = ("text", "start_time", "stop_time", "filters", "status", "last_run_time", *hours)
        assert [getattr(saved, name) for name in names] == [
            getattr(mailing, name) for name in names
        ]
        assert saved.updated_at > mailing.updated_at

    def test_edited_filters_are_saved_and_the_clients_looked_through_again(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        queued: Queued,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        mailing = make_mailing(filters={"tag": "vip"}, last_run_time=timezone.now())
        form = form_of(admin_client.get(page_of(mailing)))
        with django_capture_on_commit_callbacks(execute=True):
            admin_client.post(page_of(mailing), {**form, "tag": ["vip", "new"], "timezone": []})
        mailing.refresh_from_db()
        assert mailing.filters == {"tag": ["vip", "new"]}
        assert mailing.last_run_time is None
        assert ("start_mailing", mailing.pk) in queued()

    def test_emptied_filters_select_everyone(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing(filters={"tag": "vip"})
        form = form_of(admin_client.get(page_of(mailing)))
        admin_client.post(page_of(mailing), {**form, "tag": []})
        mailing.refresh_from_db()
        assert mailing.filters == {}

    def test_the_start_of_a_running_mailing_is_refused_beside_its_field(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing()
        form = form_of(admin_client.get(page_of(mailing)))
        page = admin_client.post(page_of(mailing), {**form, "start_time": "2020-01-01T00:00"})
        [reason] = page.context["adminform"].form.errors["start_time"]
        assert reason == "The mailing has started; its start time cannot change."

    @pytest.mark.parametrize("status", [Status.FINISHED, Status.CANCELLED])
    def test_a_mailing_that_is_over_is_shown_and_cannot_be_edited(
        self, status: str, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing()
        form = form_of(admin_client.get(page_of(mailing)))
        Mailing.objects.update(status=status, success_count=0, fail_count=0)
        page = admin_client.get(page_of(mailing)).content.decode()
        assert "Hello" in page
        assert 'name="_save"' not in page
        assert "Pause" not in page
        refused = admin_client.post(page_of(mailing), {**form, "text": "Bye"})
        assert f"The mailing is {status} and does not change any more." in refused.content.decode()
        mailing.refresh_from_db()
        assert mailing.text == "Hello"

    @pytest.mark.parametrize(
        ("hours", "said"),
        [
            ({"window_start": time(9), "window_end": time(21)}, "only 09:00 – 21:00"),
            ({}, "at any hour"),
        ],
    )
    def test_the_hours_of_a_mailing_that_is_over_are_shown(
        self,
        hours: dict[str, time],
        said: str,
        admin_client: Browser,
        make_mailing: MakeMailing,
    ) -> None:
        mailing = make_mailing(status="finished", success_count=0, fail_count=0, **hours)
        page = admin_client.get(page_of(mailing)).content.decode()
        _, below_the_panel = page.split("Times are those of UTC.")
        assert said in below_the_panel
        assert 'name="window_start"' not in page

    def test_a_change_by_somebody_else_is_not_overwritten(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing()
        mine = form_of(admin_client.get(page_of(mailing)))
        admin_client.post(page_of(mailing), {**mine, "text": "Theirs"})
        page = admin_client.post(page_of(mailing), {**mine, "text": "Mine"})
        assert "Somebody else changed this mailing" in page.content.decode()
        mailing.refresh_from_db()
        assert mailing.text == "Theirs"

    @pytest.mark.parametrize(("taken", "text"), [({}, "Mine"), ({"take_text": "theirs"}, "Theirs")])
    def test_after_a_change_by_somebody_else_it_is_chosen_what_holds(
        self,
        taken: dict[str, str],
        text: str,
        admin_client: Browser,
        make_mailing: MakeMailing,
    ) -> None:
        mailing = make_mailing(filters={"tag": "vip"})
        mine = form_of(admin_client.get(page_of(mailing)))
        theirs = {**mine, "text": "Theirs", "stop_time": "2099-01-01T09:00"}
        admin_client.post(page_of(mailing), theirs)
        sent = {**mine, "text": "Mine", "tag": ["vip", "new"]}

        page = admin_client.post(page_of(mailing), sent)

        found = page.context["conflict"]
        assert found.who == "admin (Console)"
        assert [each[:1] + each[2:] for each in found.differences] == [
            ("text", "Theirs", "Mine", True),
            ("filters", "tag vip", "tag vip, new", True),
            ("stop_time", "2099-01-01 09:00", f"{mailing.stop_time:%Y-%m-%d %H:%M}", False),
        ]
        assert "Mine" in page.content.decode()
        chosen = {
            f"take_{each.field}": "mine" if each.is_mine else "theirs" for each in found.differences
        }
        kept = {"version": found.version, "seen": found.seen}
        saved = admin_client.post(page_of(mailing), {**sent, **kept, **chosen, **taken})
        assert saved.status_code == 302
        mailing.refresh_from_db()
        assert (mailing.text, mailing.filters) == (text, {"tag": ["vip", "new"]})
        assert f"{mailing.stop_time:%Y-%m-%d %H:%M}" == "2099-01-01 09:00"

    def test_whatever_can_be_edited_is_compared(self) -> None:
        assert set(conflict.FIELDS) == set(services.EDITABLE)

    def test_theirs_stands_in_for_what_mine_has_wrong(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing()
        mine = form_of(admin_client.get(page_of(mailing)))
        admin_client.post(page_of(mailing), {**mine, "text": "Theirs"})
        mailing.refresh_from_db()
        sent = {**mine, "text": "", "take_text": "theirs", "window_start": "9", "window_end": "21"}
        sent["version"] = mailing.updated_at.isoformat()
        admin_client.post(page_of(mailing), sent)
        mailing.refresh_from_db()
        assert (mailing.text, mailing.window_start) == ("Theirs", time(9))

    @pytest.mark.parametrize("seen", ["", "nonsense", "[]", '{"text": 1}'])
    def test_without_knowing_what_was_seen_all_that_differs_is_mine(
        self, seen: str, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing()
        mine = form_of(admin_client.get(page_of(mailing)))
        admin_client.post(page_of(mailing), {**mine, "text": "Theirs"})
        page = admin_client.post(page_of(mailing), {**mine, "seen": seen})
        [text] = page.context["conflict"].differences
        assert (text.field, text.is_mine) == ("text", True)

    def test_a_change_that_no_field_shows_is_saved_over_at_the_second_time(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing()
        mine = form_of(admin_client.get(page_of(mailing)))
        services.pause_mailing(mailing)
        page = admin_client.post(page_of(mailing), mine)
        assert "Nothing of what is edited here differs. Save again." in page.content.decode()
        again = {**mine, "version": page.context["conflict"].version}
        assert admin_client.post(page_of(mailing), again).status_code == 302


class TestButtons:
    def press(self, browser: Browser, mailing: Mailing, action: str) -> str:
        return browser.post(f"{LIST}{mailing.pk}/{action}/", follow=True).content.decode()

    def test_pause_and_resume_a_mailing(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        queued: Queued,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        mailing = make_mailing()
        assert "1 mailing paused." in self.press(admin_client, mailing, "pause")
        mailing.refresh_from_db()
        assert mailing.status == Status.PAUSED
        with django_capture_on_commit_callbacks(execute=True):
            assert "1 mailing resumed." in self.press(admin_client, mailing, "resume")
        mailing.refresh_from_db()
        assert mailing.status == Status.RUNNING
        assert queued() == [("start_mailing", mailing.pk)]
        assert [entry.deed for entry in Entry.objects.of(f"mailings/{mailing.pk}")] == [
            "resumed",
            "paused",
        ]

    def test_cancel_a_mailing_and_have_it_closed_at_once(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        queued: Queued,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        mailing = make_mailing()
        with django_capture_on_commit_callbacks(execute=True):
            confirm(admin_client, f"{LIST}{mailing.pk}/cancel/")
        mailing.refresh_from_db()
        assert mailing.status == Status.CANCELLED
        assert queued() == [("finish_mailing", mailing.pk)]

    def test_finish_a_mailing_of_which_all_is_sent(
        self, admin_client: Browser, make_mailing: MakeMailing, now: datetime
    ) -> None:
        mailing = make_mailing(last_run_time=now)
        panel = panel_of(admin_client, mailing)
        assert f"{LIST}{mailing.pk}/finish/" in panel
        assert "All there is to send is sent." in panel
        page = confirm(admin_client, f"{LIST}{mailing.pk}/finish/").content.decode()
        assert f"{mailing} is finished: 0 sent, 0 failed." in page
        assert Mailing.objects.get().status == Status.FINISHED

    def test_send_again_what_failed(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
        queued: Queued,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        mailing = make_mailing()
        plan(mailing, make_clients, now, fail=2, pending=1)
        retried = panel_of(admin_client, mailing)
        assert "Send failed again" not in retried
        Message.objects.filter(status="fail").update(next_attempt_at=None, error_code="rejected")
        open_books()
        panel = panel_of(admin_client, mailing)
        assert f'href="{LIST}{mailing.pk}/resend/"' in panel
        assert "Finish" not in panel
        with django_capture_on_commit_callbacks(execute=True):
            page = confirm(admin_client, f"{LIST}{mailing.pk}/resend/").content.decode()
        assert "2 messages that failed for good are due again." in page
        assert queued() == [("start_mailing", mailing.pk)]
        assert Mailing.objects.get().failed_up_to == 0

    def test_send_what_failed_again_as_a_new_mailing_once_it_is_over(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
        queued: Queued,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        over = make_mailing(status=Status.CANCELLED, text="Again", **HOURS)
        plan(over, make_clients, now, fail=2)
        make_clients(3)
        finish_mailing(over.pk, now=now)
        panel = panel_of(admin_client, over)
        address = f"{LIST}add/?resends={over.pk}"
        assert f'href="{address}"' in panel
        page = admin_client.get(address)
        assert f"New mailing to whom mailing {over.pk} failed" in page.content.decode()
        form = form_of(page)
        assert (form["text"], form["window_start"], form["window_end"]) == (
            "Again", "09:30", "21:00",
        )  # fmt: skip
        assert 'name="tag"' not in page.content.decode()
        admin_client.post(address, {**form, "text": "Once more"})
        new = Mailing.objects.get(resends=over)
        review = admin_client.get(f"{LIST}{new.pk}/review/").content.decode()
        assert "Send to 2 clients now" in review
        with django_capture_on_commit_callbacks(execute=True):
            self.press(admin_client, new, "launch")
        assert (new.text, new.filters, new.window) == ("Once more", {}, over.window)
        assert ("start_mailing", new.pk) in queued()
        start_mailing(new.pk)
        failed = set(over.messages.values_list("client", flat=True))
        assert set(new.messages.values_list("client", flat=True)) == failed
        page_of_new = admin_client.get(page_of(new)).content.decode()
        assert f"to whom mailing {over.pk} failed" in page_of_new

    @pytest.mark.parametrize("original", ["99", "nonsense", ""])
    def test_never_send_to_everyone_what_failed_in_a_mailing_that_is_gone(
        self, admin_client: Browser, original: str
    ) -> None:
        address = f"{LIST}add/?resends={original}"
        assert admin_client.get(address).status_code == 404
        assert admin_client.post(address, new()).status_code == 404
        assert not Mailing.objects.exists()

    def test_say_why_a_running_mailing_is_not_sent_again_as_a_new_one(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        address = f"{LIST}add/?resends={make_mailing().pk}"
        page = admin_client.post(address, new()).content.decode()
        assert "is not over. Send its failed messages again in itself." in page
        assert Mailing.objects.count() == 1

    def test_say_why_a_finished_mailing_cannot_be_paused(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing(status=Status.FINISHED)
        page = self.press(admin_client, mailing, "pause")
        assert "The mailing is finished and does not change any more." in page

    def test_do_nothing_when_they_are_only_followed_as_links(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing()
        assert admin_client.get(f"{LIST}{mailing.pk}/pause/").status_code == 405
        assert Mailing.objects.get().status == Status.RUNNING

    def test_know_no_mailing_that_cannot_exist(self, admin_client: Browser) -> None:
        assert admin_client.post(f"{LIST}99999999999999999999/pause/").status_code == 404
        assert admin_client.get(f"{LIST}99999999999999999999/panel/").status_code == 404

    def test_need_a_token_of_the_page_against_forgery(
        self, admin_user: User, make_mailing: MakeMailing
    ) -> None:
        browser = Browser(enforce_csrf_checks=True)
        browser.force_login(admin_user)
        assert browser.post(f"{LIST}{make_mailing().pk}/pause/").status_code == 403


class TestQuestions:
    """What cannot be taken back is asked first, with its numbers."""

    def planned(
        self, make_mailing: MakeMailing, make_clients: MakeClients, now: datetime
    ) -> Mailing:
        mailing = make_mailing(last_run_time=now)
        plan(mailing, make_clients, now, success=3, pending=2, fail=2)
        Message.objects.filter(status="fail").update(next_attempt_at=None, error_code="rejected")
        open_books()
        return mailing

    def test_cancelling_says_how_many_will_never_be_sent_and_how_many_were(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        mailing = self.planned(make_mailing, make_clients, now)
        address = f"{LIST}{mailing.pk}/cancel/"
        question = question_of(admin_client.get(address))
        assert question.title == f"Cancel {mailing} for good?"
        assert question.facts == [
            "2 messages have not been sent yet, and will never be.",
            "What is on its way to the sender just now still arrives.",
            "3 were sent, and stay sent.",
            "2 have failed for good.",
        ]
        assert Mailing.objects.get().status == Status.RUNNING
        page = confirm(admin_client, address).content.decode()
        assert f"{mailing} is cancelled. 2 messages have not been sent yet" in page

    @pytest.mark.parametrize("verb", ["cancel", "resend"])
    def test_a_button_is_pressed_in_vain_once_somebody_has_changed_the_filters(
        self,
        verb: str,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        mailing = self.planned(make_mailing, make_clients, now)
        address = f"{LIST}{mailing.pk}/{verb}/"
        button = button_of(admin_client.get(address))
        mailing.filters = {"tag": "other"}
        services.edit_mailing(mailing, now=now)
        again = admin_client.post(address, button)
        assert "Something has changed meanwhile." in again.content.decode()
        assert not Entry.objects.filter(deed__in=["cancelled", "resent"]).exists()
        assert admin_client.post(address, button_of(again)).status_code == 302
        assert Entry.objects.filter(deed__in=["cancelled", "resent"]).exists()

    def test_a_button_is_pressed_in_vain_once_the_mailing_is_complete(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        mailing = self.planned(make_mailing, make_clients, now)
        address = f"{LIST}{mailing.pk}/cancel/"
        button = button_of(admin_client.get(address))
        Message.objects.filter(status="pending").update(status="success", next_attempt_at=None)
        open_books()
        again = admin_client.post(address, button)
        assert "Something has changed meanwhile." in again.content.decode()
        assert Mailing.objects.get().status == Status.RUNNING

    def test_a_button_still_works_after_messages_went_out_meanwhile(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        mailing = self.planned(make_mailing, make_clients, now)
        address = f"{LIST}{mailing.pk}/cancel/"
        button = button_of(admin_client.get(address))
        plan(mailing, make_clients, now, success=1)
        page = admin_client.post(address, button, follow=True).content.decode()
        assert "4 were sent, and stay sent." in page

    def test_what_cannot_be_done_is_not_asked(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        finished, running = make_mailing(status=Status.FINISHED), make_mailing()
        paused = make_mailing(status=Status.PAUSED)
        for mailing, verb, why in (
            (finished, "cancel", "The mailing is finished and does not change any more."),
            (running, "finish", "Messages of this mailing are still to be sent."),
            (paused, "resend", "What failed is sent again while it runs"),
            (running, "delete", "The mailing is running. Cancel it first."),
        ):
            answer = admin_client.get(f"{LIST}{mailing.pk}/{verb}/", follow=True)
            assert answer.redirect_chain == [(page_of(mailing), 302)]
            assert why in answer.content.decode()

    def test_what_failed_is_sent_again_by_reason_and_maybe_twice_is_said(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
        settings: Any,
    ) -> None:
        settings.MESSAGE_SENDER_IDEMPOTENT = False
        mailing = self.planned(make_mailing, make_clients, now)
        [one, _] = Message.objects.filter(status="fail")
        Message.objects.filter(pk=one.pk).update(error_code="unconfirmed")
        open_books()
        everything = question_of(admin_client.get(f"{LIST}{mailing.pk}/resend/"))
        assert "2 messages that failed for good are due again." in everything.facts
        assert "Nobody knows whether it arrived: 1" in everything.facts
        assert any("that client may get it twice" in fact for fact in everything.facts)
        address = f"{LIST}{mailing.pk}/resend/?error_code=rejected"
        page = confirm(admin_client, address).content.decode()
        assert "1 message that failed for good is due again." in page
        assert Mailing.objects.get().requeued_codes == ["rejected"]

    def test_the_table_of_reasons_leads_to_sending_each_again(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        mailing = self.planned(make_mailing, make_clients, now)
        page = f"{LIST}{mailing.pk}/resend/?error_code="
        assert f'href="{page}rejected"' in panel_of(admin_client, mailing)
        for code in ("expired", "nonsense"):
            answer = admin_client.get(f"{page}{code}", follow=True)
            assert "Nothing like that has failed for good in it." in answer.content.decode()
        services.pause_mailing(mailing)
        assert page not in panel_of(admin_client, mailing)

    def test_once_it_is_over_each_reason_leads_to_a_new_mailing_to_exactly_these(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        over = make_mailing(status=Status.CANCELLED)
        plan(over, make_clients, now, fail=3)
        one = Message.objects.filter(mailing=over)[0]
        Message.objects.filter(mailing=over).update(next_attempt_at=None, error_code="rejected")
        Message.objects.filter(pk=one.pk).update(error_code="unconfirmed")
        open_books()
        finish_mailing(over.pk, now=now)
        address = f"{LIST}add/?resends={over.pk}&error_code=unconfirmed"
        assert address.replace("&", "&amp;") in panel_of(admin_client, over)
        page = admin_client.get(address)
        assert (
            f"New mailing to whom mailing {over.pk} failed (unconfirmed)" in page.content.decode()
        )
        admin_client.post(address, form_of(page))
        new = Mailing.objects.get(resends=over)
        assert new.resent_codes == ["unconfirmed"]
        review = admin_client.get(f"{LIST}{new.pk}/review/").content.decode()
        assert "Send to 1 client now" in review
        nonsense = f"{LIST}add/?resends={over.pk}&error_code=nonsense"
        assert admin_client.post(nonsense, form_of(page)).status_code == 404

    def test_nothing_in_the_console_is_asked_by_the_browser_itself(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing()
        assert "confirm(" not in admin_client.get(page_of(mailing)).content.decode()

    def test_the_way_to_delete_stands_apart_and_not_while_it_runs(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        running, draft = make_mailing(), make_mailing(status=Status.DRAFT)
        assert "/delete/" not in admin_client.get(page_of(running)).content.decode()
        page = admin_client.get(page_of(draft)).content.decode()
        assert page.count(f'href="{LIST}{draft.pk}/delete/"') == 1
        assert page.index("/delete/") < page.index('id="submit-row"')


class TestRussian:
    def page(self, browser: Browser, address: str) -> str:
        answer = browser.get(address, headers={"accept-language": "ru"}, follow=True)
        return answer.content.decode()

    def test_the_buttons_of_a_mailing_and_what_they_ask_are_in_it(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        mailing = make_mailing()
        plan(mailing, make_clients, now, pending=3)
        page = self.page(admin_client, page_of(mailing))
        for word in ("Приостановить", "Отменить насовсем", "+1 час"):
            assert word in page
        question = self.page(admin_client, f"{LIST}{mailing.pk}/cancel/")
        assert "3 сообщения ещё не отправлены и не будут отправлены никогда." in question

    def test_deleting_is_asked_without_declining_what(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing(status=Status.PAUSED)
        assert "Удалить рассылка" not in self.page(admin_client, page_of(mailing))
        question = self.page(admin_client, f"{LIST}{mailing.pk}/delete/")
        assert f"Удалить: Рассылка {mailing.pk}?" in question

    def test_why_a_client_gets_a_mailing_is_in_it_and_in_english_over_rest(
        self,
        admin_client: Browser,
        api: APIClient,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
    ) -> None:
        mailing, [client] = make_mailing(filters={"tag": "new"}), make_clients(1, tag="vip")
        why = self.page(admin_client, f"/admin/clients/client/{client.pk}/change/?why={mailing.pk}")
        assert "По нынешнему положению дел оно не уйдёт никогда" in why
        assert "У клиента тег &#x27;vip&#x27;; фильтры требуют &#x27;new&#x27;." in why
        answer = api.get(f"/api/v1/mailings/{mailing.pk}/clients/{client.pk}/")
        details = [rule["detail"] for rule in answer.json()["rules"]]
        assert "The client's tag is 'vip'; the filters ask for 'new'." in details
        assert "They were not yet." in " ".join(details)
        with translation.override("ru"):
            assert "* `sent` - The sender accepted the message\n" in meanings_of(Verdict)

    def test_refusals_are_in_it_and_in_english_over_rest(
        self, admin_client: Browser, api: APIClient, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing()
        why = self.page(admin_client, f"{LIST}{mailing.pk}/delete/")
        assert "Рассылка идёт. Сначала отмените её." in why
        address = f"/api/v1/mailings/{mailing.pk}/"
        answer = api.delete(address, headers={"accept-language": "ru"}).json()
        assert answer["errors"][0]["detail"] == "The mailing is running. Cancel it first."


class TestMoreTime:
    def extend(self, browser: Browser, mailing: Mailing, **sent: str) -> Any:
        return browser.post(f"{LIST}{mailing.pk}/extend/", sent, follow=True)

    @pytest.mark.parametrize("status", [Status.RUNNING, Status.PAUSED])
    @pytest.mark.parametrize(
        ("more", "span"), [("hour", timedelta(hours=1)), ("day", timedelta(days=1))]
    )
    def test_an_hour_or_a_day_is_given_with_one_click(
        self,
        more: str,
        span: timedelta,
        status: str,
        admin_client: Browser,
        make_mailing: MakeMailing,
        queued: Queued,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        mailing = make_mailing(status=status)
        assert f'action="{LIST}{mailing.pk}/extend/"' in panel_of(admin_client, mailing)
        with django_capture_on_commit_callbacks(execute=True):
            page = self.extend(admin_client, mailing, more=more)
        stop_time = mailing.stop_time
        mailing.refresh_from_db()
        assert mailing.stop_time == stop_time + span
        assert f"It is sent until {mailing.stop_time:%Y-%m-%d %H:%M}." in page.content.decode()
        assert queued() == [("start_mailing", mailing.pk)]
        entry = Entry.objects.of(f"mailings/{mailing.pk}")[0]
        assert (entry.deed, list(entry.changes)) == ("changed", ["stop_time"])

    def test_any_moment_is_read_in_the_zone_in_which_the_page_was_shown(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing()
        sent = {"stop_time": "2099-01-01T12:00", "_time_zone": "Europe/Moscow"}
        self.extend(admin_client, mailing, **sent)
        mailing.refresh_from_db()
        assert mailing.stop_time == datetime(2099, 1, 1, 9, tzinfo=UTC)

    def test_it_asks_first_where_messages_that_failed_are_due_again(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        mailing = make_mailing()
        plan(mailing, make_clients, now, fail=2)
        Message.objects.update(next_attempt_at=None, error_code="unavailable")
        open_books()
        address, sent = f"{LIST}{mailing.pk}/extend/", {"more": "hour"}
        facts = question_of(admin_client.post(address, sent)).facts
        assert "2 messages that failed for good are due again." in facts
        assert Mailing.objects.get().stop_time == mailing.stop_time
        confirm(admin_client, address, sent)
        assert Mailing.objects.get().stop_time == mailing.stop_time + timedelta(hours=1)

    def test_the_stop_that_would_do_is_one_click_away_and_asked_about(
        self,
        admin_client: Browser,
        client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        mailing = make_mailing(last_run_time=now)
        plan(mailing, make_clients, now, pending=7)
        SendingControl.objects.update(rate=7 / 3600 / 24)  # a day for what has an hour
        panel = panel_of(admin_client, mailing)
        link = re.search(r'href="(/admin/\S+/extend/\S+)"[^<]*<span[^<]*</span>\s*Move', panel)
        assert link, panel
        question = question_of(admin_client.get(link[1]))
        assert [fact for fact in question.facts if "due again" in fact] == []
        assert Mailing.objects.get().stop_time == mailing.stop_time
        confirm(admin_client, link[1])
        assert Mailing.objects.get().stop_time > mailing.stop_time
        viewer = User.objects.create_user("viewer", is_staff=True)
        viewer.user_permissions.set(Permission.objects.filter(codename="view_mailing"))
        client.force_login(viewer)
        assert "/extend/" not in panel_of(client, mailing)
        assert client.get(link[1]).status_code == 403

    @pytest.mark.parametrize(
        ("sent", "why"),
        [
            ({}, "Say when sending ends at last."),
            ({"more": "year"}, "Write a day and a time"),
            ({"stop_time": "soon"}, "Write a day and a time"),
            ({"stop_time": "2020-01-01T00:00"}, "It is sent until then anyway."),
        ],
    )
    def test_no_later_moment_changes_nothing(
        self,
        sent: dict[str, str],
        why: str,
        admin_client: Browser,
        make_mailing: MakeMailing,
    ) -> None:
        mailing = make_mailing()
        assert why in self.extend(admin_client, mailing, **sent).content.decode()
        assert Mailing.objects.get().stop_time == mailing.stop_time

    def test_what_is_over_stays_over(
        self, admin_client: Browser, make_mailing: MakeMailing, now: datetime
    ) -> None:
        mailing = make_mailing(stop_time=now - timedelta(minutes=1))
        assert "/extend/" not in panel_of(admin_client, mailing)
        page = self.extend(admin_client, mailing, more="day").content.decode()
        assert "The stop time has passed; the mailing does not change any more." in page


class TestDrafts:
    def test_whoever_may_not_launch_writes_drafts(
        self,
        client: Browser,
        queued: Queued,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        author = User.objects.create_user("author", is_staff=True)
        names = ("view_mailing", "add_mailing", "change_mailing")
        author.user_permissions.set(Permission.objects.filter(codename__in=names))
        client.force_login(author)
        with django_capture_on_commit_callbacks(execute=True):
            client.post(f"{LIST}add/", new())
        mailing = Mailing.objects.get()
        assert (mailing.status, queued()) == ("draft", [])
        page = client.get(f"{LIST}{mailing.pk}/review/").content.decode()
        assert "It stays a draft until somebody with the right to launch" in page
        assert f"{LIST}{mailing.pk}/launch/" not in page
        assert client.post(f"{LIST}{mailing.pk}/launch/").status_code == 403
        assert client.get(f"{LIST}add/?resends={mailing.pk}").status_code == 403

    def test_are_edited_and_reviewed_again(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing(status=Status.DRAFT)
        page = admin_client.get(page_of(mailing))
        assert 'id="panel"' not in page.content.decode()
        answer = admin_client.post(page_of(mailing), {**form_of(page), "text": "Other"})
        assert answer.headers["Location"] == f"{LIST}{mailing.pk}/review/"
        mailing.refresh_from_db()
        assert (mailing.text, mailing.status) == ("Other", Status.DRAFT)

    def test_are_counted_on_the_first_page_and_are_not_under_way(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        make_mailing(status=Status.DRAFT)
        page = admin_client.get("/admin/").content.decode()
        assert "?status__exact=draft" in page
        assert "Nothing is being sent." in page


class TestSelected:
    def test_are_paused_and_resumed(self, admin_client: Browser, make_mailing: MakeMailing) -> None:
        mailings = [make_mailing(), make_mailing()]
        for action, status, said in (
            ("pause_selected", Status.PAUSED, "2 mailings paused."),
            ("resume_selected", Status.RUNNING, "2 mailings resumed."),
        ):
            assert said in do_with(admin_client, action, *mailings)
            assert {mailing.status for mailing in Mailing.objects.all()} == {status}

    def test_are_cancelled_after_a_question_with_the_numbers_of_all(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        running = [make_mailing(), make_mailing()]
        for mailing in running:
            plan(mailing, make_clients, now, success=1, pending=2)
        finished = make_mailing(status=Status.FINISHED)
        form = selected("cancel_selected", *running, finished)
        question = question_of(admin_client.post(LIST, form))
        assert "4 messages have not been sent yet, and will never be." in question.facts
        assert "2 were sent, and stay sent." in question.facts
        page = confirm(admin_client, LIST, form).content.decode()
        assert "2 mailings cancelled." in page
        assert f"{finished}: The mailing is finished and does not change any more." in page

    def test_are_done_one_by_one_and_the_refused_are_named(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        running, finished = make_mailing(), make_mailing(status=Status.FINISHED)
        page = do_with(admin_client, "pause_selected", running, finished)
        assert "1 mailing paused." in page
        assert f"{finished}: The mailing is finished and does not change any more." in page

    def test_are_deleted_after_a_question_unless_they_run(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        running, paused = make_mailing(), make_mailing(status=Status.PAUSED)
        form = selected("delete_selected", running, paused)
        page = confirm(admin_client, LIST, form).content.decode()
        assert "1 mailing deleted." in page
        assert f"{running}: The mailing is running. Cancel it first." in page
        assert list(Mailing.objects.all()) == [running]
        assert Entry.objects.filter(deed="deleted").count() == 1


class TestDeleting:
    def test_a_running_mailing_is_refused_with_a_message(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing()
        response = admin_client.post(f"{LIST}{mailing.pk}/delete/", {"post": "yes"}, follow=True)
        assert response.redirect_chain == [(page_of(mailing), 302)]
        assert "The mailing is running. Cancel it first." in response.content.decode()
        assert Mailing.objects.exists()
        assert not Entry.objects.filter(kind="mailings").exists()

    def test_a_mailing_goes_with_its_messages_which_nobody_has_to_read_before(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
        django_assert_max_num_queries: Any,
    ) -> None:
        mailing = make_mailing(status=Status.PAUSED)
        plan(mailing, make_clients, now, success=3)
        # Session, user, preferences, sending control, heartbeats; mailing.
        # What others need still, and how its messages stand, from the ledger.
        with django_assert_max_num_queries(5 + 1 + 2 + 1):
            question = question_of(admin_client.get(f"{LIST}{mailing.pk}/delete/"))
        assert "3 messages go with it, and what is known of them: 3 sent." in question.facts
        page = confirm(admin_client, f"{LIST}{mailing.pk}/delete/").content.decode()
        assert f"{mailing} is deleted, and its 3 messages with it." in page
        assert not Mailing.objects.exists()
        finish_mailing(mailing.pk, now=now)
        assert not Message.objects.exists()


class TestList:
    def test_shows_status_audience_and_progress(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        mailing = make_mailing(filters={"tag": ["vip", "new"], "operator_code": "999"})
        plan(mailing, make_clients, now, success=3, fail=1, pending=2)
        make_mailing(status=Status.FINISHED, success_count=1234, fail_count=0, ledger_at=None)
        page = admin_client.get(LIST).content.decode()
        assert "operator 999" in page
        assert "tag vip, new" in page
        assert "3 sent · 2 waiting · 1 being retried" in page
        assert "1,234 sent" in page

    @pytest.mark.parametrize("number", [5, 50])
    def test_asks_as_many_questions_for_fifty_mailings_as_for_five(
        self,
        number: int,
        admin_client: Browser,
        make_planned: MakePlanned,
        django_assert_num_queries: Any,
    ) -> None:
        make_planned(number)
        # Session, user, preferences, sending control, heartbeats; count, mailings, their messages;
        # minutes, postings, mailings that run, and the pace.
        with django_assert_num_queries(5 + 3 + 4):
            admin_client.get(LIST)

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("status__exact=paused", {"Second"}),
            ("start_time_from=2030-01-02", {"Second"}),
            ("start_time_to=2030-01-01", {"First"}),
            ("start_time_from=2030-01-01&start_time_to=2030-01-01", {"First"}),
            ("stop_time_from=2030-01-02&stop_time_to=2030-01-02", {"First"}),
            ("start_time_from=someday&start_time_to=%20", {"First", "Second"}),
            ("q=first", {"First"}),
            ("q=nothing", set()),
        ],
    )
    def test_is_filtered_by_status_and_day_and_searched_by_words(
        self, query: str, found: set[str], admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        for day, text, status in ((1, "First", "scheduled"), (2, "Second", "paused")):
            start = datetime.fromisoformat(f"2030-01-0{day}T23:59:59Z")
            make_mailing(
                text=text, status=status, start_time=start, stop_time=start + timedelta(days=1)
            )
        response = admin_client.get(f"{LIST}?{query}")
        assert {mailing.text for mailing in response.context["cl"].result_list} == found

    def test_is_searched_by_id(self, admin_client: Browser, make_mailing: MakeMailing) -> None:
        mailing, _ = make_mailing(), make_mailing()
        response = admin_client.get(f"{LIST}?q={mailing.pk}")
        assert response.context["cl"].result_list == [mailing]

    @pytest.mark.parametrize(
        "query",
        [
            "q=%00",
            "q=99999999999999999999999",
            "status__exact=%00",
            "status__exact=nonsense",
            "status__exact=running&status__exact=paused",
            "start_time_from=%00",
            "start_time_from=9999-12-31&start_time_to=0001-01-01",
            "start_time__lte=nonsense",
            "id=99999999999999999999999",
            "text__regex=(",
            "filters__x=1",
        ],
    )
    def test_takes_nonsense_in_the_address(
        self, query: str, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        make_mailing()
        assert admin_client.get(f"{LIST}?{query}", follow=True).status_code == 200


class TestPanel:
    def test_counts_the_messages_and_leads_to_them(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        mailing = make_mailing()
        plan(mailing, make_clients, now, success=2, fail=1, pending=4)
        panel = panel_of(admin_client, mailing)
        address = f"/admin/messages_app/message/?mailing={mailing.pk}&amp;standing="
        assert [f"{address}{each}" in panel for each in Standing.values] == [True] * 5
        assert "width: 28.57%" in panel
        assert 'id="panel"' in admin_client.get(page_of(mailing)).content.decode()

    def test_tells_apart_what_is_tried_again_what_failed_and_what_nobody_knows(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        mailing = make_mailing(text_version=2)
        clients = iter(make_clients(1_010))

        def add(number: int, **values: Any) -> None:
            Message.objects.bulk_create(
                Message(mailing=mailing, client=next(clients), attempts=1, **values)
                for _ in range(number)
            )

        add(2, status="fail", error_code="out_of_window")
        add(1, status="fail", error_code="throttled", next_attempt_at=now)
        add(3, status="fail", error_code="unconfirmed")
        add(1_000, status="success", text_version=1)
        add(4, status="success", text_version=2)
        open_books()
        panel = panel_of(admin_client, mailing)
        said = "1,004 sent · 1 being retried · 2 failed for good · 3 nobody knows"
        assert f'aria-label="{said}"' in panel
        assert "1,000 sent with text 1" in panel
        assert "4 sent with text 2: <q>Hello</q>" in panel
        messages = "/admin/messages_app/message/"
        for standing, number in (("sent", 1_004), ("retried", 1), ("failed", 2), ("unknown", 3)):
            page = admin_client.get(f"{messages}?mailing={mailing.pk}&standing={standing}")
            assert page.context["cl"].result_count == number, standing

    def test_is_asked_for_again_only_while_something_can_change(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing()
        address = f"{LIST}{mailing.pk}/panel/"
        assert f'data-live="{address}"' in admin_client.get(page_of(mailing)).content.decode()
        Mailing.objects.update(status=Status.FINISHED, success_count=0, fail_count=0)
        assert "data-live=" not in admin_client.get(page_of(mailing)).content.decode()
        assert admin_client.get(address).json()["is_over"]

    def test_says_in_the_browser_s_tab_how_much_is_done(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        mailing = make_mailing()
        plan(mailing, make_clients, now, success=2, pending=1)
        told = admin_client.get(f"{LIST}{mailing.pk}/panel/").json()
        assert told["title"] == f"66 % – {mailing}"

    def test_is_not_sent_again_while_it_says_the_same(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        mailing = make_mailing()
        address = f"{LIST}{mailing.pk}/panel/"
        known = {"If-None-Match": admin_client.get(address).headers["ETag"]}
        assert admin_client.get(address, headers=known).status_code == 304
        plan(mailing, make_clients, now, success=1)
        assert admin_client.get(address, headers=known).status_code == 200

    def test_counts_by_time_zone_where_there_is_a_window(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        mailing = make_mailing(window_start=time(9), window_end=time(21))
        clients = make_clients(1234, timezone="Asia/Tokyo")
        Message.objects.bulk_create(
            Message(mailing=mailing, client=each, timezone="Asia/Tokyo") for each in clients
        )
        open_books()
        panel = panel_of(admin_client, mailing)
        assert "Sent only 09:00 – 21:00, each client&#x27;s own local time." in panel
        assert "Asia/Tokyo" in panel
        assert panel.count(">1,234<") == 4  # waiting, and all; of the mailing, and of the zone
        Mailing.objects.update(window_start=None, window_end=None)
        panel = panel_of(admin_client, mailing)
        assert "Sent at any hour." in panel
        assert "shut until" not in panel

    def test_shows_the_largest_time_zones_and_how_many_there_are_more(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        zones = {f"Zone/{number:02}": {"success": 20 - number} for number in range(12)}
        mailing = make_mailing(
            window_start=time(9),
            window_end=time(21),
            status=Status.FINISHED,
            success_count=1,
            fail_count=0,
            timezone_counts=zones,
        )
        panel = panel_of(admin_client, mailing)
        assert [f"Zone/{number:02}" in panel for number in range(12)] == [True] * 10 + [False] * 2
        assert "and 2 more time zones" in panel


class TestAudience:
    def count(self, browser: Browser, **filters: Any) -> str:
        return browser.get(f"{LIST}audience/", filters).content.decode()

    def test_counts_the_clients_that_the_form_s_filters_select(
        self, admin_client: Browser, make_clients: MakeClients
    ) -> None:
        make_clients(3, tag="vip")
        make_clients(1, tag="vip", operator_code="926")
        make_clients(2, tag="new")
        assert "This goes to everybody: 6 clients." in self.count(admin_client)
        some = self.count(admin_client, tag="vip")
        assert "4 clients" in some
        assert "everybody" not in some
        assert 'href="/admin/clients/client/?tag=vip"' in some
        both = self.count(admin_client, tag="vip", operator_code="926")
        assert "1 client<" in both
        nobody = self.count(admin_client, tag="x", operator_code="926")
        assert "No client matches: nothing would be sent now." in nobody

    def test_has_bars_by_zone_operator_and_tag_of_the_commonest(
        self, admin_client: Browser, make_clients: MakeClients
    ) -> None:
        make_clients(4, tag="vip", timezone="Europe/Moscow")
        for number in range(9):
            make_clients(1, tag=f"tag-{number}", timezone="UTC")
        page = self.count(admin_client)
        assert "By time zone" in page
        assert "width: 100.0%" in page
        assert "width: 44.4%" in page  # 4 of 9 with UTC, the commonest
        assert "tag-6" in page
        assert "tag-7" not in page
        assert "and 2 more" in page

    def test_says_what_is_wrong_with_filters(self, admin_client: Browser) -> None:
        assert "IANA names" in self.count(admin_client, timezone="<b>")
        assert "<b>" not in self.count(admin_client, timezone="<b>")
        assert "that can be read" in self.count(admin_client, tag="\0")
        assert "These are not: abc." in self.count(admin_client, operator_code="abc")


class TestLength:
    def count(self, browser: Browser, text: str) -> str:
        return browser.post(f"{LIST}text/", {"text": text}).content.decode()

    def test_tells_parts_alphabet_and_room(self, admin_client: Browser) -> None:
        page = self.count(admin_client, "x" * 134)
        for said in ("1 part", "134 of 160 in GSM-7", "134 of 4,096 characters"):
            assert said in page
        assert "2 parts" in self.count(admin_client, "x" * 161)
        assert "5,000 of 4,096 characters" in self.count(admin_client, "x" * 5_000)

    def test_is_that_of_the_rules_line_breaks_of_browsers_included(
        self, admin_client: Browser
    ) -> None:
        assert "160 of 160 in GSM-7" in self.count(admin_client, "x" * 159 + "\r\n")

    def test_names_what_forces_ucs_2_and_offers_to_replace_it(self, admin_client: Browser) -> None:
        page = self.count(admin_client, "Come — “now”" + "x" * 70)
        assert "82 of 134 in UCS-2" in page
        assert "It would be one part without" in page
        assert page.count("data-replace=") == 3 + 1
        assert "[[&quot;\\u2014&quot;, &quot;-&quot;]]" in page

    def test_offers_nothing_where_letters_force_it_as_well(self, admin_client: Browser) -> None:
        page = self.count(admin_client, "Приходите — скоро")
        assert "UCS-2" in page
        assert "data-replace=" not in page


class TestDuplicate:
    def test_begins_with_text_filters_and_hours_and_no_start(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        filters = {"tag": ["vip", "new"], "operator_code": "926"}
        mailing = make_mailing(text="Again", filters=filters, status=Status.FINISHED, **HOURS)
        page = admin_client.get(page_of(mailing)).content.decode()
        address = f"{LIST}add/?duplicates={mailing.pk}"
        assert f'href="{address}"' in page
        answer = admin_client.get(address)
        assert f"New mailing like {mailing.pk}" in answer.content.decode()
        form = form_of(answer)
        assert (form["text"], form["tag"], form["operator_code"]) == (
            "Again",
            ["vip", "new"],
            ["926"],
        )
        assert (form["window_start"], form["window_end"]) == ("09:30", "21:00")
        assert (form["begins"], form["start_time"]) == (["now"], "")
        admin_client.post(address, form)
        made = Mailing.objects.exclude(pk=mailing.pk).get()
        assert (made.status, made.filters) == (
            Status.DRAFT,
            {"operator_code": ["926"], "tag": ["vip", "new"]},
        )

    @pytest.mark.parametrize("original", ["99", "nonsense", ""])
    def test_is_of_a_mailing_that_is_there(self, original: str, admin_client: Browser) -> None:
        assert admin_client.get(f"{LIST}add/?duplicates={original}").status_code == 404


class TestWords:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"status": "scheduled", "start": 60}, "Sending begins at"),
            ({}, "Its clients are being looked through."),
            ({"last_run_time": timezone.now()}, "New matching clients are added at"),
            ({"last_run_time": timezone.now(), "resends_id": 7}, "At "),
            ({"status": "paused"}, "Nothing is sent until it is resumed."),
            ({"status": "cancelled"}, "It is being closed"),
            ({"stop": -1}, "It is being closed"),
            ({"status": "finished", "success_count": 0}, "Nothing more happens"),
        ],
    )
    def test_say_what_happens_next(
        self, changes: dict[str, Any], said: str, make_mailing: MakeMailing, now: datetime
    ) -> None:
        start = now + timedelta(minutes=changes.pop("start", -30))
        stop = now + timedelta(minutes=changes.pop("stop", 90))
        mailing = make_mailing(start_time=start, stop_time=stop, **changes)
        assert labels.next_event(mailing, now).startswith(said)

    def test_name_the_audience(self) -> None:
        assert labels.audience(Mailing()) == "everyone"
        many = [str(number) for number in range(8)]
        selected = Mailing(filters={"operator_code": many})
        assert labels.audience(selected) == "operator 0, 1, 2, 3, 4 and 3 more"
        resending = Mailing(resends_id=12, resent_codes=["rejected"], filters={"tag": "vip"})
        assert labels.audience(resending) == "to whom mailing 12 failed (rejected) · tag vip"

    @pytest.mark.parametrize(
        ("zone", "changes", "said"),
        [
            ("Europe/Moscow", {}, "open until 18:00"),
            ("America/New_York", {}, "shut until 13:00"),
            ("unknown", {}, ""),
            ("Europe/Moscow", {"success_count": 0}, ""),
            ("Europe/Moscow", {"window_start": None, "window_end": None}, ""),
        ],
    )
    def test_say_where_the_window_is_open(
        self, zone: str, changes: dict[str, Any], said: str
    ) -> None:
        mailing = Mailing(**{"window_start": time(9), "window_end": time(21), **changes})
        noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
        assert labels.window_state(mailing, zone, noon) == said


class TestOverview:
    def test_shows_what_is_under_way_and_how_many_there_are_of_each_status(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        make_mailing(text="Running now")
        make_mailing(text="Over", status=Status.FINISHED)
        page = admin_client.get("/admin/")
        assert "Running now" in page.content.decode()
        assert "Over<" not in page.content.decode()
        numbers = {status["value"]: status["number"] for status in page.context["statuses"]}
        assert numbers == {
            "draft": 0,
            "scheduled": 0,
            "running": 1,
            "paused": 0,
            "finished": 1,
            "cancelled": 0,
        }

    def test_leaves_out_those_of_which_all_is_sent_however_many_they_are(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(overview, "LOOKED_AT", 2)
        left = make_mailing(text="Something is left", last_run_time=now)
        plan(left, make_clients, now, success=1, pending=1)
        retried = make_mailing(text="Something is tried again", status=Status.PAUSED)
        plan(retried, make_clients, now, fail=1)
        for _ in range(3):
            plan(make_mailing(text="All", last_run_time=now), make_clients, now, success=1)
        folding.fold_all()
        shown = admin_client.get("/admin/").context["under_way"]
        assert [each["text"] for each in shown] == [retried.text, left.text]
        done_just_now = make_mailing(text="All", last_run_time=now)
        plan(done_just_now, make_clients, now, success=1)  # and not folded yet
        shown = admin_client.get("/admin/").context["under_way"]
        assert [each["text"] for each in shown] == [retried.text]  # of the LOOKED_AT newest

    @pytest.mark.parametrize(
        "what",
        [{"last_run_time": None}, {"planned_up_to": 1}, {"deferred_up_to": 0}, {"failed_up_to": 0}],
    )
    def test_shows_one_of_which_clients_or_messages_are_still_to_be_looked_at(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
        what: dict[str, Any],
    ) -> None:
        mailing = make_mailing(last_run_time=now)
        plan(mailing, make_clients, now, success=1)
        folding.fold_all()
        assert admin_client.get("/admin/").context["under_way"] == []
        Mailing.objects.update(**what)
        assert admin_client.get("/admin/").context["under_way"] != []

    def test_invites_to_write_the_first_mailing(self, admin_client: Browser) -> None:
        assert "Write a mailing" in admin_client.get("/admin/").content.decode()


class TestLivePages:
    def test_the_first_page_and_the_list_are_kept_up_to_date(
        self,
        admin_client: Browser,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
    ) -> None:
        mailing = make_mailing()
        closed = make_mailing(status=Status.FINISHED, success_count=0, fail_count=0)
        page = admin_client.get("/admin/").content.decode()
        assert f'data-live="{LIST}overview/"' in page
        rows = f"{LIST}rows/?ids={mailing.pk}"
        assert f'data-live="{rows}"' in admin_client.get(LIST).content.decode()
        plan(mailing, make_clients, now, success=2, pending=1)
        for address, part in ((rows, f"progress-{mailing.pk}"), (f"{LIST}overview/", "under_way")):
            told = admin_client.get(address).json()["parts"]
            assert "2 sent · 1 waiting" in told[part]["html"]
            assert f"progress-{closed.pk}" not in told

    @pytest.mark.parametrize("ids", ["", "nonsense", "0,-1,99999999999999999999", "%00"])
    def test_takes_nonsense_for_no_mailing(self, ids: str, admin_client: Browser) -> None:
        answer = admin_client.get(f"{LIST}rows/?ids={ids}")
        assert set(answer.json()["parts"]) == {"troubles", "stop_bar", "stop_button"}

    def test_a_button_that_is_shown_again_is_nothing_new(
        self, admin_client: Browser, make_mailing: MakeMailing
    ) -> None:
        address = f"{LIST}{make_mailing().pk}/panel/"
        first, second = (admin_client.get(address).json()["parts"]["buttons"] for _ in range(2))
        assert first["html"] != second["html"]  # by its token against forgery
        assert first["version"] == second["version"]

    @pytest.mark.parametrize("number", [1, 20])
    def test_asking_again_costs_as_much_for_many_as_for_one(
        self,
        number: int,
        admin_client: Browser,
        make_planned: MakePlanned,
        django_assert_max_num_queries: Any,
    ) -> None:
        make_planned(number)
        # Session, user, preferences, sending control, heartbeats; mailings by status, those under
        # way, their messages; minutes, postings, those that run, and the pace.
        with django_assert_max_num_queries(5 + 3 + 4):
            admin_client.get(f"{LIST}overview/")
        address = f"{LIST}{Mailing.objects.all()[0].pk}/panel/"
        # The same, and one mailing; when it began to be sent.
        with django_assert_max_num_queries(5 + 2 + 4 + 1):
            admin_client.get(address)


class TestRights:
    def operator(self, browser: Browser, *rights: str) -> Browser:
        user = User.objects.create_user("operator", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=rights))
        browser.force_login(user)
        return browser

    def test_staff_without_rights_sees_nothing(
        self, client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing(text="Secret")
        browser = self.operator(client)
        assert "Secret" not in browser.get("/admin/").content.decode()
        for address in (
            LIST,
            f"{LIST}add/",
            page_of(mailing),
            f"{LIST}audience/",
            f"{LIST}{mailing.pk}/panel/",
            f"{LIST}rows/?ids={mailing.pk}",
            f"{LIST}overview/",
            f"{LIST}{mailing.pk}/delete/",
        ):
            assert browser.get(address).status_code == 403, address
        assert browser.post(f"{LIST}{mailing.pk}/pause/").status_code == 403

    def test_who_may_only_look_changes_nothing(
        self, client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing()
        browser = self.operator(client, "view_mailing")
        page = browser.get(page_of(mailing)).content.decode()
        assert "Hello" in page
        assert "Pause" not in page
        assert browser.post(page_of(mailing), new()).status_code == 403
        assert browser.post(f"{LIST}{mailing.pk}/cancel/").status_code == 403
        do_with(browser, "pause_selected", mailing)
        assert Mailing.objects.get().status == Status.RUNNING

    def test_nobody_is_let_in_without_logging_in(
        self, client: Browser, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing()
        for address in (LIST, page_of(mailing), f"{LIST}audience/", f"{LIST}{mailing.pk}/panel/"):
            assert client.get(address).status_code == 302
        client.post(f"{LIST}{mailing.pk}/pause/")
        assert Mailing.objects.get().status == Status.RUNNING
