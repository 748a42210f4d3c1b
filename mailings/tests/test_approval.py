"""Approval of mailings to many, and the undoing of a launch: by services, REST and the console."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.test import Client as Browser
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from rest_framework.test import APIClient

from clients.models import Client
from mailings import services
from mailings.models import Mailing
from mailings.tasks import start_mailing
from messages_app.models import Message
from messages_app.tests.scenes import open_books
from tests.rest import iso, refusal
from toolkit.history.actors import Actor, Door, acting
from toolkit.history.models import Entry

pytestmark = pytest.mark.django_db

MAILINGS = "/api/v1/mailings/"
LIST = "/admin/mailings/mailing/"
HOUR = timedelta(hours=1)
ANNA, BORIS, CLARA = 101, 102, 103

MakeMailing = Callable[..., Mailing]
MakeClients = Callable[..., list[Client]]


@pytest.fixture(autouse=True)
def _above_two(settings: Any, make_clients: MakeClients) -> None:
    """Have mailings to more than two clients need approval, and let there be three."""
    settings.MAILING_APPROVAL_ABOVE = 2
    make_clients(3, tag="vip")


def by(user: int) -> Any:
    """Return what has everything within it done by a user."""
    return acting(lambda: Actor(Door.REST, user, f"user {user}", ""))


@pytest.fixture
def draft(now: datetime) -> Mailing:
    """Return a draft to all three, by Anna."""
    times = {"start_time": now - HOUR, "stop_time": now + 2 * HOUR}
    with by(ANNA):
        return services.create_mailing(
            Mailing(text="Hello", filters={}, status="draft", **times), now=now
        )


def launch(mailing: Mailing, user: int, now: datetime) -> str:
    """Launch a mailing; return its status then, or why it was refused."""
    try:
        with by(user):
            return str(services.launch_mailing(mailing, now=now).status)
    except ValidationError as error:
        return str(error.code)


def approve(mailing: Mailing, user: int, now: datetime) -> str:
    try:
        with by(user):
            return str(services.approve_mailing(mailing, now=now).approved_by)
    except ValidationError as error:
        return str(error.code)


class TestApproval:
    def test_is_needed_and_given_by_somebody_else(self, draft: Mailing, now: datetime) -> None:
        assert launch(draft, ANNA, now) == "approval_needed"
        assert approve(draft, ANNA, now) == "approval_own"
        assert approve(draft, BORIS, now) == str(BORIS)
        assert launch(draft, ANNA, now) == "scheduled"
        deeds = [(entry.deed, entry.user_id) for entry in Entry.objects.of(f"mailings/{draft.pk}")]
        assert deeds == [("launched", ANNA), ("approved", BORIS), ("created", ANNA)]

    def test_does_not_count_for_whoever_gave_it(self, draft: Mailing, now: datetime) -> None:
        approve(draft, BORIS, now)
        assert launch(draft, BORIS, now) == "approval_own"
        assert launch(draft, CLARA, now) == "scheduled"

    def test_is_void_after_any_edit(self, draft: Mailing, now: datetime) -> None:
        approve(draft, BORIS, now)
        edited = Mailing.objects.get()
        edited.stop_time += HOUR
        with by(ANNA):
            services.edit_mailing(edited, now=now)
        assert launch(draft, ANNA, now) == "approval_needed"

    def test_is_not_for_who_edited_it_last(self, draft: Mailing, now: datetime) -> None:
        with by(BORIS):
            services.edit_mailing(Mailing.objects.get(), now=now)
        assert approve(draft, BORIS, now) == "approval_own"
        assert approve(draft, ANNA, now) == str(ANNA)
        assert launch(draft, ANNA, now) == "approval_own"

    def test_is_of_the_version_that_was_seen(self, draft: Mailing, now: datetime) -> None:
        with by(BORIS), pytest.raises(ValidationError) as refused:
            services.approve_mailing(draft, now=now, version=now - HOUR)
        assert refused.value.code == "mailing_changed_meanwhile"

    def test_given_twice_is_one(self, draft: Mailing, now: datetime) -> None:
        for _ in range(2):
            approve(draft, BORIS, now)
        assert Entry.objects.filter(deed="approved").count() == 1

    def test_is_for_drafts(self, make_mailing: MakeMailing, now: datetime) -> None:
        assert approve(make_mailing(), BORIS, now) == "mailing_not_draft"
        assert approve(make_mailing(status="finished"), BORIS, now) == "mailing_not_draft"

    @pytest.mark.parametrize(("limit", "answer"), [(3, "scheduled"), (None, "scheduled")])
    def test_is_not_needed_up_to_the_limit_or_without_one(
        self, limit: int | None, answer: str, draft: Mailing, now: datetime, settings: Any
    ) -> None:
        settings.MAILING_APPROVAL_ABOVE = limit
        assert launch(draft, ANNA, now) == answer

    def test_cannot_be_gone_around_by_creating_what_is_no_draft(
        self, api: APIClient, now: datetime
    ) -> None:
        times = {"start_time": iso(now), "stop_time": iso(now + HOUR)}
        body = {**times, "text": "Hello", "filters": {}}
        assert refusal(api.post(MAILINGS, body)) == (409, {None: "approval_needed"})
        assert not Mailing.objects.exists()
        few = {**body, "filters": {"tag": "nobody"}}
        assert api.post(MAILINGS, few).status_code == 201

    def test_cannot_be_gone_around_by_widening_or_rewording_what_was_launched(
        self, api: APIClient, make_mailing: MakeMailing
    ) -> None:
        few, many = make_mailing(filters={"tag": "nobody"}), make_mailing(filters={})
        for mailing, body in ((few, {"filters": {}}), (many, {"text": "Other"})):
            answer = api.patch(f"{MAILINGS}{mailing.pk}/", body)
            assert refusal(answer) == (409, {None: "approval_needed"})
        later = {"stop_time": iso(many.stop_time + HOUR)}
        assert api.patch(f"{MAILINGS}{many.pk}/", later).status_code == 200
        assert api.patch(f"{MAILINGS}{few.pk}/", {"text": "Other"}).status_code == 200

    def test_cannot_be_gone_around_by_resending(
        self, api: APIClient, make_mailing: MakeMailing, now: datetime
    ) -> None:
        over = make_mailing(status="cancelled", success_count=0, fail_count=3)
        for client in Client.objects.all():
            Message.objects.create(
                mailing=over, client=client, status="fail", error_code="rejected", attempts=1
            )
        open_books()
        body = {"stop_time": iso(now + 24 * HOUR)}
        answer = api.post(f"{MAILINGS}{over.pk}/resend/", body)
        assert refusal(answer) == (409, {None: "approval_needed"})

    def test_is_given_over_rest_and_told(self, api: APIClient, draft: Mailing) -> None:
        path = f"{MAILINGS}{draft.pk}/"
        assert api.get(path).json()["approved_at"] is None
        answer = api.post(f"{path}approve/")
        assert (answer.status_code, answer.json()["status"]) == (200, "draft")
        assert answer.json()["approved_at"]
        assert api.get(path).json() == answer.json()
        assert refusal(api.post(f"{path}launch/")) == (409, {None: "approval_own"})
        api.patch(path, {"text": "Other"})
        assert api.get(path).json()["approved_at"] is None
        assert refusal(api.post(f"{path}approve/")) == (409, {None: "approval_own"})


class TestConsole:
    @pytest.fixture
    def users(self, django_user_model: type[User]) -> list[User]:
        names = ("view_mailing", "add_mailing", "change_mailing", "launch_mailing")
        users = [User.objects.create(username=name, is_staff=True) for name in ("anna", "boris")]
        for user in users:
            user.user_permissions.set(Permission.objects.filter(codename__in=names))
        return users

    def browser(self, user: User) -> Browser:
        browser = Browser()
        browser.force_login(user)
        return browser

    def test_one_writes_another_approves_and_the_first_launches(self, users: list[User]) -> None:
        anna, boris = map(self.browser, users)
        stop = timezone.now() + HOUR
        anna.post(
            f"{LIST}add/",
            {"text": "Hello", "begins": "now", "stop_time": f"{stop:%Y-%m-%dT%H:%M}"},
        )
        mailing = Mailing.objects.get()
        page = f"{LIST}{mailing.pk}/review/"

        mine = anna.get(page).content.decode()
        assert "You wrote this one: have somebody else look at this page." in mine
        assert "/launch/" not in mine
        assert "/approve/" not in mine
        theirs = boris.get(page).content.decode()
        assert "Approve for 3 clients" in theirs
        assert "/launch/" not in theirs
        version = {"version": mailing.updated_at.isoformat()}
        boris.post(f"{LIST}{mailing.pk}/approve/", version)
        assert "Somebody else has to launch it." in boris.get(page).content.decode()
        mine = anna.get(page).content.decode()
        assert "Approved by boris" in mine
        assert "Send to 3 clients now" in mine
        anna.post(f"{LIST}{mailing.pk}/launch/", version)
        mailing.refresh_from_db()
        assert mailing.status == "scheduled"


class TestUndo:
    @pytest.fixture(autouse=True)
    def _half_a_minute(self, settings: Any) -> None:
        settings.MAILING_APPROVAL_ABOVE, settings.MAILING_UNDO_SECONDS = None, 30

    def test_makes_a_draft_again_of_which_nothing_was_sent(
        self, draft: Mailing, now: datetime
    ) -> None:
        with by(ANNA):
            launched = services.launch_mailing(draft, now=now)
        assert launched.start_time == now + timedelta(seconds=30)
        start_mailing(draft.pk)
        later = now + timedelta(seconds=29)
        assert Mailing.objects.get().seconds_to_undo(later) == 1
        with by(ANNA):
            undone = services.undo_launch(draft, now=later)
        assert (undone.status, undone.start_time) == ("draft", now)
        assert not Message.objects.exists()
        assert not PeriodicTask.objects.filter(task="start_mailing", one_off=True).exists()
        assert Entry.objects.of(f"mailings/{draft.pk}")[0].deed == "undone"
        with by(ANNA):
            again = services.launch_mailing(draft, now=later)
        assert again.start_time == later + timedelta(seconds=30)

    def test_leaves_a_later_start_as_it_was(self, make_mailing: MakeMailing, now: datetime) -> None:
        mailing = make_mailing(status="draft", start_time=now + HOUR, stop_time=now + 2 * HOUR)
        for deed in (services.launch_mailing, services.undo_launch):
            assert deed(mailing, now=now).start_time == now + HOUR

    def test_comes_too_late_after_its_time_and_without_one(
        self, draft: Mailing, now: datetime, settings: Any
    ) -> None:
        services.launch_mailing(draft, now=now)
        for seconds, moment in ((30, now + timedelta(seconds=30)), (0, now)):
            settings.MAILING_UNDO_SECONDS = seconds
            with pytest.raises(ValidationError) as refused:
                services.undo_launch(draft, now=moment)
            assert refused.value.code == "undo_too_late"

    def test_is_done_over_rest_for_so_long_and_refused_afterwards(
        self, api: APIClient, draft: Mailing
    ) -> None:
        address = f"{MAILINGS}{draft.pk}/"
        assert api.post(f"{address}launch/").json()["status"] == "scheduled"
        undone = api.post(f"{address}undo/")
        assert (undone.status_code, undone.json()["status"]) == (200, "draft")
        api.post(f"{address}launch/")
        Mailing.objects.update(launched_at=timezone.now() - timedelta(minutes=1))
        assert refusal(api.post(f"{address}undo/")) == (409, {None: "undo_too_late"})

    def test_is_not_shortened_by_an_edit(self, draft: Mailing, now: datetime) -> None:
        launched = services.launch_mailing(draft, now=now)
        launched.start_time = now
        assert services.edit_mailing(launched, now=now).start_time == now + timedelta(seconds=30)

    def test_needs_time_before_the_stop(self, make_mailing: MakeMailing, now: datetime) -> None:
        soon = make_mailing(status="draft", stop_time=now + timedelta(seconds=20))
        with pytest.raises(ValidationError, match="over before it begins"):
            services.launch_mailing(soon, now=now)

    def test_is_a_button_on_the_page_while_it_can_be_done(
        self, admin_client: Browser, draft: Mailing
    ) -> None:
        page = f"{LIST}{draft.pk}/change/"
        admin_client.post(f"{LIST}{draft.pk}/launch/")
        assert f"{LIST}{draft.pk}/undo/" in admin_client.get(page).content.decode()
        answer = admin_client.post(f"{LIST}{draft.pk}/undo/", follow=True)
        assert "It is a draft again; nothing was sent." in answer.content.decode()
        assert Mailing.objects.get().status == "draft"
        past = timezone.now() - timedelta(minutes=1)
        Mailing.objects.update(status="scheduled", launched_at=past)
        assert f"{LIST}{draft.pk}/undo/" not in admin_client.get(page).content.decode()
        answer = admin_client.post(f"{LIST}{draft.pk}/undo/", follow=True)
        assert "It is too late to undo the launch." in answer.content.decode()


class TestTrial:
    def test_goes_to_the_number_and_its_answer_is_told(
        self,
        admin_client: Browser,
        draft: Mailing,
        settings: Any,
    ) -> None:
        settings.MESSAGE_SENDER_TOKEN = ""
        page = admin_client.get(f"{LIST}{draft.pk}/review/").content.decode()
        assert "Send a test to my phone" in page
        address = f"{LIST}{draft.pk}/test/"
        answer = admin_client.post(address, {"phone_number": "+7 999"}, follow=True)
        assert "phone number" in answer.content.decode()
        assert not Entry.objects.filter(deed="tried").exists()
        number = {"phone_number": "+7 999 123-45-67"}
        answer = admin_client.post(address, number, follow=True)
        assert "MESSAGE_SENDER_TOKEN is not set" in answer.content.decode()
        assert Entry.objects.get(deed="tried").details == {"phone_number": "***67"}
