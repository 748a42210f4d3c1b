"""Drafts over REST: kept until they are launched, and touched by nothing until then."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django_celery_beat.models import PeriodicTask
from rest_framework.test import APIClient

from clients.models import Client
from mailings.audit import audit
from mailings.models import FormerText, Mailing
from mailings.tasks import finish_mailing, send_message, start_mailing
from messages_app.models import Doorbell, Message
from messages_app.tests.scripted import Scripted
from tests.rest import iso, refusal

MAILINGS = "/api/v1/mailings/"
HOUR = timedelta(hours=1)
MakeMailing = Callable[..., Mailing]


@pytest.fixture
def payload(now: datetime) -> dict[str, Any]:
    """Return what a draft is created from, whose time has come."""
    times = {"start_time": iso(now - HOUR), "stop_time": iso(now + HOUR)}
    return {**times, "text": "Hello", "filters": {}, "status": "draft"}


@pytest.fixture
def over(now: datetime) -> dict[str, str]:
    """Return times that have passed."""
    return {"start_time": iso(now - 2 * HOUR), "stop_time": iso(now - HOUR)}


def path_of(mailing: Mailing, deed: str = "") -> str:
    return f"{MAILINGS}{mailing.pk}/{deed}"


def let(operator: User, api: APIClient, *codenames: str) -> None:
    """Leave an operator these permissions and no other."""
    operator.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    api.force_authenticate(User.objects.get(pk=operator.pk))


def run_everything(mailing: Mailing) -> None:
    """Run what looks for work, and what an earlier save may have queued."""
    for task in (start_mailing, send_message, finish_mailing):
        task(mailing.pk)
        task()


def test_a_draft_is_kept_and_nothing_is_queued_for_it(
    api: APIClient,
    payload: dict[str, Any],
    queued: Callable[[], list[Any]],
    django_capture_on_commit_callbacks: Any,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        answer = api.post(MAILINGS, payload)

    mailing = Mailing.objects.get()
    assert (answer.status_code, answer.json()["status"]) == (201, "draft")
    shown = api.get(path_of(mailing))
    assert (shown.json(), shown["ETag"]) == (answer.json(), answer["ETag"])
    assert queued() == []
    assert not PeriodicTask.objects.filter(task="start_mailing", one_off=True).exists()


@pytest.mark.parametrize("status", ["scheduled", "running", "cancelled", "", None, True, ["draft"]])
def test_no_other_status_can_be_given(
    api: APIClient, payload: dict[str, Any], status: object
) -> None:
    answer = api.post(MAILINGS, {**payload, "status": status})

    code = "null" if status is None else "invalid_choice"
    assert refusal(answer) == (400, {"status": code})
    assert not Mailing.objects.exists()


@pytest.mark.parametrize("times", ["running", "over"])
def test_a_draft_is_not_started_planned_sent_closed_or_counted(
    times: str,
    api: APIClient,
    payload: dict[str, Any],
    over: dict[str, str],
    make_clients: Callable[..., list[Client]],
    scripted: Scripted,
) -> None:
    scripted(1, lambda transport: [])
    make_clients(3)
    api.post(MAILINGS, {**payload, **(over if times == "over" else {})})
    mailing = Mailing.objects.get()
    before = Mailing.objects.values().get()

    run_everything(mailing)

    assert Mailing.objects.values().get() == before
    assert not Message.objects.exists()
    assert not Doorbell.objects.exists()
    stats = api.get(path_of(mailing, "stats/")).json()
    assert (stats["status"], stats["stats"]["total"], stats["is_complete"]) == ("draft", 0, False)
    assert audit().is_good


def test_a_draft_may_have_any_times_and_every_edit(
    api: APIClient, payload: dict[str, Any], over: dict[str, str], now: datetime
) -> None:
    api.post(MAILINGS, {**payload, **over})
    mailing = Mailing.objects.get()
    edit = {"text": "Other", "filters": {"tag": "vip"}, "start_time": iso(now - 5 * HOUR)}

    answer = api.patch(path_of(mailing), {**edit, "stop_time": iso(now - 4 * HOUR)})

    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in edit} == edit
    assert (answer.json()["text_version"], answer.json()["text_change"]) == (1, None)
    assert not FormerText.objects.exists()  # Nobody has had the first one.
    assert api.put(path_of(mailing), {**payload, "text": "Third"}).json()["text"] == "Third"
    mailing.refresh_from_db()
    assert (mailing.deferred_up_to, mailing.failed_up_to) == (None, None)


def test_a_draft_must_make_sense_in_itself(
    api: APIClient, payload: dict[str, Any], now: datetime
) -> None:
    for wrong, reason in (
        ({"stop_time": iso(now - 2 * HOUR)}, {"stop_time": "stop_before_start"}),
        ({"text": " "}, {"text": "blank"}),
        ({"window_start": "09:00"}, {"window_end": "window_incomplete"}),
    ):
        assert refusal(api.post(MAILINGS, {**payload, **wrong})) == (400, reason)
        api.post(MAILINGS, payload)
        answer = api.patch(path_of(Mailing.objects.latest("pk")), wrong)
        assert refusal(answer) == (400, reason)


@pytest.mark.parametrize("status", ["scheduled", "cancelled"])
def test_a_change_does_not_launch_a_draft_and_makes_no_draft(
    api: APIClient, make_mailing: MakeMailing, status: str
) -> None:
    draft, other = make_mailing(status="draft"), make_mailing()
    wrong = (400, {"status": "read_only"})

    assert refusal(api.patch(path_of(draft), {"status": status})) == wrong
    for other_status in ("draft", status):
        assert refusal(api.patch(path_of(other), {"status": other_status})) == wrong
    assert api.patch(path_of(draft), {"status": "draft", "text": "New"}).status_code == 200


def test_a_launched_draft_is_sent_like_any_mailing(
    api: APIClient,
    payload: dict[str, Any],
    make_clients: Callable[..., list[Client]],
    queued: Callable[[], list[Any]],
    django_capture_on_commit_callbacks: Any,
) -> None:
    make_clients(3)
    api.post(MAILINGS, payload)
    mailing = Mailing.objects.get()

    with django_capture_on_commit_callbacks(execute=True):
        answer = api.post(path_of(mailing, "launch/"))

    assert (answer.status_code, answer.json()["status"]) == (200, "scheduled")
    assert queued() == [("start_mailing", mailing.pk)]
    start_mailing(mailing.pk)
    mailing.refresh_from_db()
    assert mailing.status == "running"
    assert Message.objects.filter(mailing=mailing).count() == 3


def test_a_draft_of_tomorrow_gets_its_place_in_the_schedule_by_the_launch(
    api: APIClient, payload: dict[str, Any], now: datetime
) -> None:
    times = {"start_time": iso(now + HOUR), "stop_time": iso(now + 2 * HOUR)}
    api.post(MAILINGS, {**payload, **times})
    scheduled = PeriodicTask.objects.filter(task="start_mailing", one_off=True)
    assert not scheduled.exists()

    for _ in range(2):  # A second launch changes nothing.
        api.post(path_of(Mailing.objects.get(), "launch/"))

    assert [task.clocked.clocked_time for task in scheduled] == [now + HOUR]


def test_a_draft_whose_stop_time_has_passed_is_not_launched(
    api: APIClient, payload: dict[str, Any], over: dict[str, str], now: datetime
) -> None:
    api.post(MAILINGS, {**payload, **over})
    mailing = Mailing.objects.get()

    answer = api.post(path_of(mailing, "launch/"))

    assert refusal(answer) == (400, {"stop_time": "stop_in_the_past"})
    assert api.get(path_of(mailing)).json()["status"] == "draft"
    api.patch(path_of(mailing), {"stop_time": iso(now + HOUR)})
    assert api.post(path_of(mailing, "launch/")).json()["status"] == "scheduled"


@pytest.mark.parametrize(
    ("stored", "field"),
    [({"filters": {"tags": ["vip"]}}, "filters"), ({"text": " "}, "text")],
)
def test_what_breaks_a_rule_is_not_launched(
    api: APIClient, make_mailing: MakeMailing, stored: dict[str, Any], field: str
) -> None:
    """It may have been saved by a version with other rules."""
    mailing = make_mailing(status="draft", **stored)

    status, reasons = refusal(api.post(path_of(mailing, "launch/")))

    assert (status, list(reasons)) == (400, [field])
    assert Mailing.objects.get().status == "draft"


@pytest.mark.parametrize("status", ["scheduled", "running", "paused"])
def test_launching_what_was_launched_changes_nothing(
    api: APIClient, make_mailing: MakeMailing, status: str
) -> None:
    mailing = make_mailing(status=status)
    before = Mailing.objects.values().get()

    assert api.post(path_of(mailing, "launch/")).json()["status"] == status
    assert Mailing.objects.values().get() == before


@pytest.mark.parametrize("status", ["finished", "cancelled"])
def test_what_is_over_is_not_launched_again(
    api: APIClient, make_mailing: MakeMailing, status: str
) -> None:
    answer = api.post(path_of(make_mailing(status=status), "launch/"))

    assert refusal(answer) == (409, {None: f"mailing_{status}"})


@pytest.mark.parametrize(
    ("deed", "code"),
    [
        *((deed, "mailing_draft") for deed in ("pause", "resume", "cancel", "finish")),
        ("resend", "mailing_not_running"),
    ],
)
def test_what_is_for_launched_mailings_is_refused_for_a_draft(
    api: APIClient, make_mailing: MakeMailing, deed: str, code: str
) -> None:
    mailing = make_mailing(status="draft")

    assert refusal(api.post(path_of(mailing, f"{deed}/"))) == (409, {None: code})
    assert Mailing.objects.get().status == "draft"


def test_a_draft_takes_no_messages_by_hand(
    api: APIClient,
    make_mailing: MakeMailing,
    make_message: Callable[..., Message],
    make_clients: Callable[..., list[Client]],
) -> None:
    draft, message = make_mailing(status="draft"), make_message()
    (client,) = make_clients(1)

    for answer in (
        api.post("/api/v1/messages/", {"mailing": draft.pk, "client": client.pk}),
        api.patch(f"/api/v1/messages/{message.pk}/", {"mailing": draft.pk}),
    ):
        assert refusal(answer) == (409, {None: "mailing_draft"})
    assert not Message.objects.filter(mailing=draft).exists()


def test_drafts_are_found_by_their_status(api: APIClient, make_mailing: MakeMailing) -> None:
    draft, _ = make_mailing(status="draft"), make_mailing()

    for address in (MAILINGS, f"{MAILINGS}stats/"):
        found = api.get(address, {"status": "draft"}).json()["results"]
        assert [each["id"] for each in found] == [draft.pk]


def test_a_draft_is_deleted(api: APIClient, payload: dict[str, Any]) -> None:
    api.post(MAILINGS, payload)
    mailing = Mailing.objects.get()

    assert api.delete(path_of(mailing)).status_code == 204
    finish_mailing(mailing.pk)
    assert not Mailing.including_deleted.exists()


def test_a_draft_takes_no_right_to_launch_until_it_is_launched(
    api: APIClient, operator: User, payload: dict[str, Any]
) -> None:
    let(operator, api, "add_mailing", "change_mailing")
    launched = {name: value for name, value in payload.items() if name != "status"}

    assert api.post(MAILINGS, payload).status_code == 201
    mailing = Mailing.objects.get()
    assert api.patch(path_of(mailing), {"text": "New"}).status_code == 200
    for answer in (
        api.post(path_of(mailing, "launch/")),
        api.post(MAILINGS, launched),
        api.post(MAILINGS, {**payload, "status": "scheduled"}),
        api.post(MAILINGS, ["draft"]),
    ):
        assert refusal(answer) == (403, {None: "permission_denied"})
        assert "(mailings.launch_mailing)" in answer.json()["errors"][0]["detail"]
    assert [each.status for each in Mailing.objects.all()] == ["draft"]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_two_launches_at_once_one_launches(
    api: APIClient,
    payload: dict[str, Any],
    now: datetime,
    at_once: Callable[..., list[Any]],
) -> None:
    times = {"start_time": iso(now + HOUR), "stop_time": iso(now + 2 * HOUR)}
    api.post(MAILINGS, {**payload, **times})
    path = path_of(Mailing.objects.get(), "launch/")

    answers = at_once(*[lambda: api.post(path)] * 5)

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["updated_at"] for answer in answers}) == 1
    assert PeriodicTask.objects.filter(task="start_mailing", one_off=True).count() == 1
