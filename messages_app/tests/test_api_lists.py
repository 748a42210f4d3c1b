"""Lists and counts of messages over REST."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from mailings.services import cancel_mailing, delete_mailing
from messages_app.models import Message
from tests.rest import refusal

MESSAGES = "/api/v1/messages/"
STATS = f"{MESSAGES}stats/"

Make = Callable[..., Message]


@pytest.fixture
def four_messages(db: None, make_message: Make) -> list[Message]:
    """Save four, of two mailings: waiting, sent, rejected and unanswered."""
    first = make_message(phone_number="79990000001")
    sent = make_message(mailing=first.mailing, status="success", next_attempt_at=None)
    failed = {"status": "fail", "error_code": "rejected", "error": "The sender said 400."}
    rejected = make_message(mailing=first.mailing, phone_number="79261000000", **failed)
    late = {"status": "fail", "error_code": "unconfirmed", "error": "No answer came."}
    return [first, sent, rejected, make_message(client=None, **late)]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({}, [3, 2, 1, 0]),
        ({"status": "pending"}, [0]),
        ({"status": "success"}, [1]),
        ({"status": "fail"}, [3, 2]),
        ({"error_code": "rejected"}, [2]),
        ({"status": ["pending", "success"]}, [1, 0]),
        ({"status": ["pending", "fail"]}, [3, 2, 0]),
        ({"error_code": ["rejected", "unconfirmed"]}, [3, 2]),
        ({"error_code": "expired"}, []),
        ({"search": "+7 926 100-00-00"}, [2]),
        ({"mailing": [0, 3]}, [3, 2, 1, 0]),
        ({"client": [0, 2]}, [2, 0]),
        ({"search": "1000"}, [2]),
        ({"search": "ANSWER"}, [3]),
        ({"mailing": 0}, [2, 1, 0]),
        ({"mailing": 0, "status": "fail"}, [2]),
        ({"client": 1}, [1]),
    ],
)
def test_a_list_has_the_messages_asked_for_newest_first(
    api: APIClient, four_messages: list[Message], query: dict[str, Any], numbers: list[int]
) -> None:
    """Mailing and client are those of the message of a number."""
    named: dict[str, Any] = {}
    for name, value in query.items():
        values = value if isinstance(value, list) else [value]
        named[name] = [
            getattr(four_messages[each], f"{name}_id") if isinstance(each, int) else each
            for each in values
        ]

    answer = api.get(MESSAGES, named)

    found = [message["id"] for message in answer.json()["results"]]
    assert found == [four_messages[number].pk for number in numbers]


def test_messages_of_nobody_are_none(api: APIClient, four_messages: list[Message]) -> None:
    assert api.get(MESSAGES, {"client": 2**63 - 1}).json()["results"] == []


@pytest.mark.parametrize("path", [MESSAGES, STATS])
@pytest.mark.parametrize(
    ("query", "name"),
    [
        *((f"{name}={junk}", name) for name in ("mailing", "client") for junk in ("0", "-1", "x")),
        ("mailing=9223372036854775808", "mailing"),
        ("mailing=-9223372036854775809", "mailing"),
        ("client=" + "9" * 5000, "client"),
        ("client=-" + "9" * 30, "client"),
        *((f"client={junk}", "client") for junk in ("1.5", "1e999", "NaN", "true", "null", "%00")),
        ("status=sent", "status"),
        ("error_code=%00", "error_code"),
        ("error_code=reject", "error_code"),
        ("error_code=REJECTED", "error_code"),
        ("search=%00", "search"),
        ("state=fail", "state"),
        *((f"{name}=", name) for name in ("mailing", "client", "status", "error_code", "search")),
        ("mailing=1&mailing=", "mailing"),
        ("status=fail&status=sent", "status"),
        ("search=1&search=2", "search"),
    ],
)
def test_a_parameter_that_means_nothing_is_refused(
    api: APIClient, path: str, query: str, name: str
) -> None:
    status, reasons = refusal(api.get(f"{path}?{query}"))

    assert (status, list(reasons)) == (400, [name])


@pytest.mark.usefixtures("four_messages")
def test_messages_are_counted_by_status_and_the_failed_ones_by_reason(api: APIClient) -> None:
    assert api.get(STATS).json() == {
        "pending": 1,
        "success": 1,
        "fail": 2,
        "total": 4,
        "error_codes": {"rejected": 1, "unconfirmed": 1},
    }


def test_only_the_selected_messages_are_counted(
    api: APIClient, four_messages: list[Message]
) -> None:
    counts = api.get(f"{STATS}?mailing={four_messages[0].mailing_id}&status=fail").json()

    assert counts == {
        "pending": 0,
        "success": 0,
        "fail": 1,
        "total": 1,
        "error_codes": {"rejected": 1},
    }


def test_messages_of_several_mailings_are_counted_by_the_ledger(
    api: APIClient, four_messages: list[Message], make_message: Make
) -> None:
    make_message()
    mailings = [four_messages[0].mailing_id, four_messages[3].mailing_id]

    with CaptureQueriesContext(connection) as context:
        counts = api.get(STATS, {"mailing": [*mailings, mailings[0]]}).json()

    assert (counts["total"], counts["fail"]) == (4, 2)
    assert not any("GROUP BY" in query["sql"] for query in context.captured_queries)


def test_a_reason_of_a_message_that_may_still_succeed_is_no_failure(
    api: APIClient, make_message: Make
) -> None:
    make_message(error_code="unauthorized")

    assert api.get(STATS).json()["error_codes"] == {}


def test_messages_of_a_deleted_mailing_count_nowhere_and_are_not_shown(
    api: APIClient, four_messages: list[Message], now: datetime
) -> None:
    """They are there until they are cleared away, step by step."""
    mailing, other = four_messages[2].mailing_id, four_messages[3]
    delete_mailing(cancel_mailing(four_messages[2].mailing), now=now)

    assert api.get(f"{STATS}?status=fail").json()["error_codes"] == {"unconfirmed": 1}
    for query in (f"?mailing={mailing}", f"?mailing={mailing}&status=fail"):
        assert api.get(f"{MESSAGES}{query}").json()["results"] == []
        assert api.get(f"{STATS}{query}").json()["total"] == 0
    for path in ("", "attempts/"):
        assert api.get(f"{MESSAGES}{four_messages[2].pk}/{path}").status_code == 404
        assert api.get(f"{MESSAGES}{other.pk}/{path}").status_code == 200


def test_counts_of_nothing_are_zeros(api: APIClient) -> None:
    counts = {"pending": 0, "success": 0, "fail": 0, "total": 0, "error_codes": {}}

    assert api.get(STATS).json() == counts


@pytest.mark.parametrize("path", [MESSAGES, STATS])
def test_the_number_of_queries_does_not_grow_with_the_number_of_messages(
    api: APIClient, make_message: Make, path: str
) -> None:
    def spent() -> int:
        with CaptureQueriesContext(connection) as context:
            assert api.get(path).status_code == 200
        return len(context)

    make_message()
    assert spent() == 1
    for _ in range(20):
        make_message()
    assert spent() == 1
