"""Why messages of a mailing failed, by reason."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from mailings.models import Mailing
from messages_app.models import Attempt, Message
from messages_app.services import resend_message
from tests.rest import iso

Make = Callable[..., Any]


def ask(api: APIClient, mailing: Mailing) -> Any:
    answer = api.get(f"/api/v1/mailings/{mailing.pk}/failures/")
    assert answer.status_code == 200
    return answer.json()


@pytest.fixture
def failed(db: None, make_mailing: Make, make_message: Make) -> list[Message]:
    """Save ten messages of a mailing: three rejected, one to be tried again, six accepted."""
    mailing = make_mailing()
    final = {"status": "fail", "next_attempt_at": None, "error_code": "rejected", "error": "No"}
    return [
        *(make_message(mailing=mailing, **final) for _ in range(3)),
        make_message(mailing=mailing, status="fail", error_code="throttled", error="Busy"),
        *(make_message(mailing=mailing, status="success", next_attempt_at=None) for _ in range(6)),
    ]


def test_failures_are_counted_by_reason_and_those_that_are_tried_again_apart(
    api: APIClient, failed: list[Message], now: datetime
) -> None:
    for number in (1, 2):
        Attempt.objects.create(
            message=failed[2],
            number=number,
            began_at=now,
            error_code="rejected",
            http_status=399 + number,
            error="No",
        )

    body = ask(api, failed[0].mailing)

    assert (body["total"], body["messages"]) == (10, 4)
    rejected, throttled = body["results"]
    seen = {name: rejected.pop(name) for name in ("first_seen_at", "last_seen_at")}
    assert all(each[:16] >= iso(now)[:16] for each in seen.values())
    assert rejected == {
        "error_code": "rejected",
        "messages": 3,
        "retrying": 0,
        "final": 3,
        "share": 0.3,
        "example": {"message": failed[2].pk, "error": "No", "http_status": 401, "at": iso(now)},
    }
    assert (throttled["retrying"], throttled["final"], throttled["share"]) == (1, 0, 0.1)
    example = {"message": failed[3].pk, "error": "Busy", "http_status": None, "at": None}
    assert throttled["example"] == example


def test_a_reason_that_nothing_fails_with_any_more_is_left_out(
    api: APIClient, failed: list[Message], now: datetime
) -> None:
    for message in failed[:3]:
        resend_message(message, now=now)

    body = ask(api, failed[0].mailing)

    reasons = {row["error_code"]: (row["retrying"], row["final"]) for row in body["results"]}
    assert reasons == {"rejected": (3, 0), "throttled": (1, 0)}


def test_a_mailing_without_failures_has_none(api: APIClient, make_mailing: Make) -> None:
    assert ask(api, make_mailing()) == {"total": 0, "messages": 0, "results": []}


def test_an_example_is_of_this_mailing_also_if_many_failed_since(
    api: APIClient, failed: list[Message], make_message: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messages_app.examples.LOOKED_AT", 5)
    for _ in range(6):
        make_message(status="fail", error_code="rejected", next_attempt_at=None)
    Message.objects.filter(pk__in=[each.pk for each in failed[4:9]]).delete()

    body = ask(api, failed[0].mailing)

    assert {row["error_code"]: row["example"]["message"] for row in body["results"]} == {
        "rejected": failed[2].pk,
        "throttled": failed[3].pk,
    }


def test_the_number_of_queries_does_not_grow(
    api: APIClient, failed: list[Message], make_message: Make
) -> None:
    def spent() -> int:
        ask(api, failed[0].mailing)  # It folds what was posted since.
        with CaptureQueriesContext(connection) as context:
            ask(api, failed[0].mailing)
        return len(context)

    before = spent()
    for _ in range(20):
        make_message(mailing=failed[0].mailing, status="fail", error_code="throttled")
    assert spent() == before
