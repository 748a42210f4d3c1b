"""Mailings over REST: what can be done with one, and when."""

from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from clients.models import Client
from mailings import services
from mailings.api.serializers import MailingSerializer
from mailings.closing import finish_mailing
from mailings.models import Mailing
from mailings.services import EDITABLE
from messages_app.models import Lease, Message
from tests.rest import iso, refusal

MAILINGS = "/api/v1/mailings/"
HOUR = timedelta(hours=1)
STATUSES = ("scheduled", "running", "paused", "finished", "cancelled")
OVER = ("finished", "cancelled")


@pytest.fixture
def payload(now: datetime) -> dict[str, Any]:
    """Return what a new mailing is created from."""
    times = {"start_time": iso(now + HOUR), "stop_time": iso(now + 2 * HOUR)}
    return {**times, "text": "Hello", "filters": {}}


def test_a_mailing_has_exactly_the_documented_fields(
    api: APIClient, payload: dict[str, Any]
) -> None:
    filters = {"operator_code": ["999", "926"], "tag": "vip"}

    answer = api.post(MAILINGS, {**payload, "filters": filters})

    mailing = Mailing.objects.get()
    assert answer.status_code == 201
    assert answer.json() == {
        "id": mailing.pk,
        **payload,
        "window_start": None,
        "window_end": None,
        "filters": filters,
        "status": "scheduled",
        "last_run_time": None,
        "created_at": iso(mailing.created_at),
        "updated_at": iso(mailing.updated_at),
        "text_version": 1,
        "text_change": None,
        "resends": None,
        "resent_codes": None,
        "approved_at": None,
        "external_id": None,
    }
    assert api.get(f"{MAILINGS}{mailing.pk}/").json() == answer.json()


def test_a_mailing_is_for_everyone_only_if_that_is_said(
    api: APIClient, payload: dict[str, Any], make_mailing: Callable[..., Mailing], now: datetime
) -> None:
    mailing = make_mailing(filters={"tag": "vip"}, status="scheduled", start_time=now + HOUR / 2)
    path = f"{MAILINGS}{mailing.pk}/"
    forgotten = {name: value for name, value in payload.items() if name != "filters"}

    assert api.post(MAILINGS, payload).json()["filters"] == {}
    for answer in (api.post(MAILINGS, forgotten), api.put(path, forgotten)):
        assert refusal(answer) == (400, {"filters": "required"})
    assert api.patch(path, forgotten).json()["filters"] == {"tag": "vip"}


def test_a_misspelt_filters_is_refused_instead_of_sending_to_everyone(
    api: APIClient, payload: dict[str, Any]
) -> None:
    answer = api.post(MAILINGS, {**payload, "filter": {"tag": "vip"}})

    assert refusal(answer) == (400, {"filter": "unknown_field"})
    assert not Mailing.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("id", 999), ("created_at", "garbage"), ("text_version", 5)),
        *(("updated_at", "2001-01-01T00:00:00Z"), ("updated_at", None), ("resends", 1)),
    ],
)
def test_what_cannot_be_written_is_refused_unless_it_is_what_is_stored(
    api: APIClient,
    payload: dict[str, Any],
    make_mailing: Callable[..., Mailing],
    field: str,
    value: Any,
) -> None:
    """Nothing would come of it: a mailing that somebody thinks is cancelled would still go out."""
    path = f"{MAILINGS}{make_mailing().pk}/"
    shown = api.get(path).json()
    wrong = (400, {field: "read_only"})

    assert refusal(api.patch(path, {field: value})) == wrong
    assert refusal(api.put(path, {**shown, field: value})) == wrong
    assert refusal(api.post(MAILINGS, {**payload, field: value})) == wrong
    assert api.get(path).json() == shown
    assert api.patch(path, {field: shown[field]}).status_code == 200
    assert Mailing.objects.count() == 1


def test_what_changes_by_itself_may_be_sent_back_as_it_was(
    api: APIClient, make_mailing: Callable[..., Mailing], now: datetime
) -> None:
    path = f"{MAILINGS}{make_mailing().pk}/"
    shown = api.patch(path, {"text": "New"}).json()
    Mailing.objects.update(last_run_time=now)

    assert shown["text_change"]
    shown["updated_at"] = shown["updated_at"].replace("Z", "+00:00")  # the same moment
    assert api.put(path, shown).status_code == 200


def test_a_replaced_mailing_has_the_filters_that_were_told(
    api: APIClient, payload: dict[str, Any], make_mailing: Callable[..., Mailing], now: datetime
) -> None:
    mailing = make_mailing(filters={"tag": "vip"}, status="scheduled", start_time=now + HOUR / 2)

    answer = api.put(f"{MAILINGS}{mailing.pk}/", payload)

    assert answer.status_code == 200
    assert {**answer.json(), **payload} == answer.json()


def test_one_end_of_a_window_can_be_moved_alone(
    api: APIClient, make_mailing: Callable[..., Mailing]
) -> None:
    mailing = make_mailing(window_start="09:00", window_end="21:00")

    answer = api.patch(f"{MAILINGS}{mailing.pk}/", {"window_end": "18:00"})

    assert {**answer.json(), "window_end": "18:00:00"} == answer.json()
    mailing.refresh_from_db()
    assert mailing.window == (time(9), time(18))


def test_a_window_stays_in_a_change_of_something_else_and_goes_in_a_replacement(
    api: APIClient, make_mailing: Callable[..., Mailing], payload: dict[str, Any], now: datetime
) -> None:
    mailing = make_mailing(
        window_start="09:00", window_end="21:00", status="scheduled", start_time=now + HOUR / 2
    )

    patched = api.patch(f"{MAILINGS}{mailing.pk}/", {"text": "New"}).json()
    replaced = api.put(f"{MAILINGS}{mailing.pk}/", payload).json()

    assert (patched["window_start"], patched["window_end"]) == ("09:00:00", "21:00:00")
    assert (replaced["window_start"], replaced["window_end"]) == (None, None)


def test_an_edit_of_a_running_mailing_applies_to_what_is_not_sent_yet(
    api: APIClient, make_mailing: Callable[..., Mailing], now: datetime
) -> None:
    mailing = make_mailing(last_run_time=now, planned_up_to=7)

    answer = api.patch(
        f"{MAILINGS}{mailing.pk}/",
        {"text": "New", "filters": {"tag": "vip"}, "stop_time": iso(now + 3 * HOUR)},
    )

    assert answer.status_code == 200
    assert {**answer.json(), "text": "New", "filters": {"tag": "vip"}} == answer.json()
    mailing.refresh_from_db()
    assert mailing.stop_time == now + 3 * HOUR
    assert (mailing.last_run_time, mailing.planned_up_to) == (None, 0)


@pytest.mark.parametrize("status", OVER)
@pytest.mark.parametrize("method", ["put", "patch"])
def test_a_mailing_that_is_over_cannot_be_edited(
    api: APIClient,
    make_mailing: Callable[..., Mailing],
    payload: dict[str, Any],
    status: str,
    method: str,
) -> None:
    mailing = make_mailing(status=status)

    answer = getattr(api, method)(f"{MAILINGS}{mailing.pk}/", {**payload, "text": "New"})

    assert refusal(answer) == (409, {None: f"mailing_{status}"})
    mailing.refresh_from_db()
    assert mailing.text == "Hello"


def test_an_edit_that_would_undo_another_is_refused(
    api: APIClient, make_mailing: Callable[..., Mailing], monkeypatch: pytest.MonkeyPatch
) -> None:
    mailing = make_mailing()
    edit = services.edit_mailing

    def edit_late(stale: Mailing, *, now: datetime) -> Mailing:
        Mailing.objects.get().save()
        return edit(stale, now=now)

    monkeypatch.setattr(services, "edit_mailing", edit_late)

    answer = api.patch(f"{MAILINGS}{mailing.pk}/", {"text": "Late"})

    assert refusal(answer) == (409, {None: "mailing_changed_meanwhile"})


@pytest.mark.parametrize(
    ("deed", "before", "after"),
    [
        ("pause", "scheduled", "paused"),
        ("pause", "running", "paused"),
        ("pause", "paused", "paused"),
        ("resume", "scheduled", "running"),
        ("resume", "running", "running"),
        ("resume", "paused", "running"),
        ("cancel", "scheduled", "cancelled"),
        ("cancel", "running", "cancelled"),
        ("cancel", "paused", "cancelled"),
        ("cancel", "cancelled", "cancelled"),
    ],
)
def test_pause_resume_and_cancel_answer_with_the_mailing_as_it_is_then(
    api: APIClient, make_mailing: Callable[..., Mailing], deed: str, before: str, after: str
) -> None:
    mailing = make_mailing(status=before)

    answer = api.post(f"{MAILINGS}{mailing.pk}/{deed}/")

    assert answer.status_code == 200
    assert answer.json()["status"] == after
    assert answer.json() == api.get(f"{MAILINGS}{mailing.pk}/").json()


@pytest.mark.parametrize(
    ("deed", "status"),
    [
        ("pause", "finished"),
        ("pause", "cancelled"),
        ("resume", "finished"),
        ("resume", "cancelled"),
        ("cancel", "finished"),
    ],
)
def test_what_is_over_cannot_be_paused_resumed_or_cancelled(
    api: APIClient, make_mailing: Callable[..., Mailing], deed: str, status: str
) -> None:
    mailing = make_mailing(status=status)

    answer = api.post(f"{MAILINGS}{mailing.pk}/{deed}/")

    assert refusal(answer) == (409, {None: f"mailing_{status}"})
    mailing.refresh_from_db()
    assert mailing.status == status


def test_a_mailing_paused_before_its_start_waits_again_when_it_is_resumed(
    api: APIClient, payload: dict[str, Any]
) -> None:
    pk = api.post(MAILINGS, payload).json()["id"]

    api.post(f"{MAILINGS}{pk}/pause/")

    assert api.post(f"{MAILINGS}{pk}/resume/").json()["status"] == "scheduled"


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "running"])
def test_a_mailing_that_does_not_run_is_deleted_with_its_messages(
    api: APIClient,
    make_mailing: Callable[..., Mailing],
    make_message: Callable[..., Message],
    status: str,
    now: datetime,
) -> None:
    mailing = make_mailing(status=status)
    make_message(mailing=mailing)

    assert api.delete(f"{MAILINGS}{mailing.pk}/").status_code == 204
    assert api.get(f"{MAILINGS}{mailing.pk}/").status_code == 404
    assert api.get("/api/v1/messages/", {"mailing": mailing.pk}).json()["results"] == []
    finish_mailing(mailing.pk, now=now)
    assert not Message.objects.exists()
    assert Client.objects.exists()


def test_a_running_mailing_cannot_be_deleted(
    api: APIClient, make_mailing: Callable[..., Mailing]
) -> None:
    mailing = make_mailing()

    assert refusal(api.delete(f"{MAILINGS}{mailing.pk}/")) == (409, {None: "mailing_running"})
    assert Mailing.objects.exists()


def test_a_mailing_with_messages_on_their_way_cannot_be_deleted(
    api: APIClient,
    make_mailing: Callable[..., Mailing],
    make_message: Callable[..., Message],
    now: datetime,
) -> None:
    mailing = make_mailing(status="cancelled")
    make_message(mailing=mailing, lease_token=-1, lease_until=now + HOUR)
    Lease.objects.create(token=-1, mailing=mailing, expires_at=now + HOUR)

    assert refusal(api.delete(f"{MAILINGS}{mailing.pk}/")) == (409, {None: "mailing_in_flight"})
    assert Mailing.objects.exists()


def test_a_mailing_deleted_by_somebody_else_meanwhile_is_a_conflict(
    api: APIClient, make_mailing: Callable[..., Mailing], monkeypatch: pytest.MonkeyPatch
) -> None:
    mailing = make_mailing()
    pause = services.pause_mailing

    def pause_late(stale: Mailing) -> Mailing:
        Mailing.objects.all().delete()
        return pause(stale)

    monkeypatch.setattr(services, "pause_mailing", pause_late)

    answer = api.post(f"{MAILINGS}{mailing.pk}/pause/")

    assert refusal(answer) == (409, {None: "conflict"})


def test_whatever_rest_lets_one_write_an_edit_saves() -> None:
    fields = MailingSerializer().fields.items()
    assert {name for name, field in fields if not field.read_only} == set(EDITABLE)


def test_what_failed_is_sent_again_by_reason(
    api: APIClient,
    make_mailing: Callable[..., Mailing],
    make_message: Callable[..., Message],
    queued: Callable[[], list[Any]],
    django_capture_on_commit_callbacks: Any,
) -> None:
    mailing = make_mailing()
    for code in ("rejected", "rejected", "unavailable"):
        make_message(mailing=mailing, status="fail", error_code=code, next_attempt_at=None)
    resend = f"{MAILINGS}{mailing.pk}/resend/"
    with django_capture_on_commit_callbacks(execute=True):
        answer = api.post(resend, {"error_code": ["rejected"]})
    assert (answer.status_code, answer.json()) == (202, {"messages": 2})
    assert queued() == [("start_mailing", mailing.pk)]
    assert api.post(resend, {}).json() == {"messages": 3}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"error_code": []}, "error_code"),
        ({"error_code": "rejected"}, "error_code"),
        ({"error_code": ["nonsense"]}, "error_code.0"),
        ({"error_codes": ["rejected"]}, "error_codes"),
        (["rejected"], "non_field_errors"),
    ],
)
def test_a_malformed_wish_to_resend_is_refused(
    api: APIClient, make_mailing: Callable[..., Mailing], body: Any, field: str | None
) -> None:
    status, fields = refusal(api.post(f"{MAILINGS}{make_mailing().pk}/resend/", body))
    assert (status, set(fields)) == (400, {field})
    assert Mailing.objects.get().failed_up_to is None


@pytest.fixture
def over(make_mailing: Callable[..., Mailing], make_message: Callable[..., Message]) -> Mailing:
    """Return a cancelled mailing with a message that arrived, and three that failed."""
    mailing = make_mailing(status="cancelled", text="Hello again", filters={"tag": "vip"})
    make_message(mailing=mailing, status="success", next_attempt_at=None)
    for code in ("rejected", "rejected", "cancelled"):
        make_message(mailing=mailing, status="fail", error_code=code, next_attempt_at=None)
    finish_mailing(mailing.pk, now=mailing.start_time)
    return mailing


def test_what_failed_in_a_mailing_that_is_over_is_sent_again_as_a_new_one(
    api: APIClient,
    over: Mailing,
    now: datetime,
    queued: Callable[[], list[Any]],
    django_capture_on_commit_callbacks: Any,
) -> None:
    body = {"error_code": ["rejected"], "stop_time": iso(now + HOUR)}
    with django_capture_on_commit_callbacks(execute=True):
        answer = api.post(f"{MAILINGS}{over.pk}/resend/", body)
    new = Mailing.objects.get(resends=over)
    assert answer.status_code == 201
    assert answer.json() == api.get(f"{MAILINGS}{new.pk}/").json()
    told = answer.json()
    assert (told["resends"], told["resent_codes"]) == (over.pk, ["rejected"])
    assert (told["text"], told["filters"]) == ("Hello again", {})
    assert now <= new.start_time <= now + HOUR / 2
    assert ("start_mailing", new.pk) in queued()


def test_what_is_sent_again_may_have_another_text_and_other_times(
    api: APIClient, over: Mailing, now: datetime
) -> None:
    body = {
        "text": "Another",
        "start_time": iso(now + HOUR),
        "stop_time": iso(now + 2 * HOUR),
        "window_start": "09:00:00",
        "window_end": "21:00:00",
    }
    told = api.post(f"{MAILINGS}{over.pk}/resend/", body).json()
    assert {name: told[name] for name in body} == body
    assert told["resent_codes"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "stop_time"),
        ({"stop_time": "2001-01-01T00:00:00Z"}, "stop_time"),
        ({"stop_time": "2101-01-01T00:00:00Z", "window_start": "09:00"}, "window_end"),
        ({"stop_time": "2101-01-01T00:00:00Z", "text": " "}, "text"),
        ({"stop_time": "2101-01-01T00:00:00Z", "filters": {}}, "filters"),
        ({"stop_time": "2101-01-01T00:00:00Z", "error_code": ["nonsense"]}, "error_code.0"),
        ({"stop_time": "2101-01-01T00:00:00Z", "error_code": []}, "error_code"),
    ],
)
def test_a_malformed_new_mailing_to_whom_another_failed_is_refused(
    api: APIClient, over: Mailing, body: dict[str, Any], field: str
) -> None:
    status, fields = refusal(api.post(f"{MAILINGS}{over.pk}/resend/", body))
    assert (status, set(fields)) == (400, {field})
    assert Mailing.objects.count() == 1


def test_a_mailing_of_which_all_is_sent_is_finished(
    api: APIClient, make_mailing: Callable[..., Mailing], now: datetime
) -> None:
    mailing = make_mailing(last_run_time=now)
    assert api.get(f"{MAILINGS}{mailing.pk}/stats/").json()["is_complete"] is True
    answer = api.post(f"{MAILINGS}{mailing.pk}/finish/")
    assert (answer.status_code, answer.json()["status"]) == (200, "finished")


def test_a_mailing_with_something_left_is_not_finished(
    api: APIClient,
    make_mailing: Callable[..., Mailing],
    make_message: Callable[..., Message],
    now: datetime,
) -> None:
    mailing = make_mailing(last_run_time=now)
    make_message(mailing=mailing)
    assert api.get(f"{MAILINGS}{mailing.pk}/stats/").json()["is_complete"] is False
    finish = f"{MAILINGS}{mailing.pk}/finish/"
    assert refusal(api.post(finish)) == (409, {None: "mailing_incomplete"})


def test_a_change_of_the_text_says_whom_it_concerns(
    api: APIClient, make_mailing: Callable[..., Mailing], make_message: Callable[..., Message]
) -> None:
    mailing = make_mailing()
    for fields in ({}, {"status": "fail", "error_code": "throttled", "attempts": 1}):
        make_message(mailing=mailing, **fields)
    sent = {"status": "success", "next_attempt_at": None, "attempts": 1, "text_version": 1}
    make_message(mailing=mailing, **sent)
    path = f"{MAILINGS}{mailing.pk}/"
    changed = api.patch(path, {"text": "Bye"}).json()
    assert changed["text_version"] == 2
    assert changed["text_change"] == {"had_former_text": 1, "get_new_text": 2}
    assert api.patch(path, {"text": "Bye"}).json()["text_change"] is None
    assert api.get(path).json()["text_change"] is None


def test_every_text_is_shown_with_what_went_out_with_it(
    api: APIClient, make_mailing: Callable[..., Mailing], make_message: Callable[..., Message]
) -> None:
    mailing = make_mailing()
    sent = {"status": "success", "next_attempt_at": None, "attempts": 1}
    make_message(mailing=mailing, text_version=1, **sent)
    path = f"{MAILINGS}{mailing.pk}/"
    api.patch(path, {"text": "Bye"})
    for _ in range(2):
        make_message(mailing=mailing, text_version=2, **sent)
    texts = api.get(f"{path}texts/").json()
    assert [(each["version"], each["text"], each["accepted"]) for each in texts] == [
        (1, "Hello", 1),
        (2, "Bye", 2),
    ]
    assert [each["replaced_at"] is None for each in texts] == [False, True]
