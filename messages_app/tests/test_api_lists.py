"""Lists and counts of messages over REST."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from mailings.services import cancel_mailing, delete_mailing
from messages_app.models import Message
from messages_app.services import withdraw_message
from tests.rest import iso, refusal

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


def test_messages_are_found_by_a_whole_number_also_of_a_client_who_was_deleted(
    api: APIClient, make_message: Make
) -> None:
    present, former, _ = make_message(), make_message(client=None), make_message()
    assert present.client
    number = present.client.phone_number
    Message.objects.filter(pk=former.pk).update(phone_number="79261000001")

    def found(**query: Any) -> list[int]:
        return [row["id"] for row in api.get(MESSAGES, query).json()["results"]]

    assert found(phone_number=f"+{number[0]} {number[1:]}") == [present.pk]
    assert found(phone_number=["79261000001", number]) == [former.pk, present.pk]
    assert found(phone_number="79261000002") == []
    assert found(phone_number=number, status="success") == []
    assert found(id=[present.pk, former.pk, 2**63 - 1]) == [former.pk, present.pk]
    assert refusal(api.get(MESSAGES, {"phone_number": "7926"}))[0] == 400


def test_messages_are_found_by_the_time_they_were_created_or_sent(
    api: APIClient, make_message: Make, now: datetime
) -> None:
    mailing, day = make_message().mailing, timedelta(days=1)
    Message.objects.update(created_at=now - 9 * day)
    messages = [make_message(mailing=mailing) for _ in range(6)]
    for number, message in enumerate(messages):
        at = now + number * day
        Message.objects.filter(pk=message.pk).update(created_at=at, sent_at=at)

    def found(**query: Any) -> list[int]:
        rows = api.get(MESSAGES, query).json()["results"]
        return sorted(messages.index(Message.objects.get(pk=row["id"])) for row in rows)

    second, fourth = iso(now + 2 * day), iso(now + 4 * day)
    assert found(created_after=second) == [2, 3, 4, 5]
    assert found(created_after=second, created_before=fourth) == [2, 3]
    assert found(created_after=iso(now + 6 * day)) == []
    assert found(created_before=iso(now - 10 * day)) == []
    assert found(sent_after=second, sent_before=fourth, mailing=mailing.pk) == [2, 3]
    answer = api.get(MESSAGES, {"sent_after": second, "status": "success"})
    assert refusal(answer) == (400, {"sent_after": "filter_too_wide"})


def test_what_the_ledger_cannot_count_is_not_counted_without_a_client(
    api: APIClient, four_messages: list[Message]
) -> None:
    assert refusal(api.get(STATS, {"search": "1000"})) == (400, {"search": "filter_too_wide"})

    query: dict[str, Any] = {"search": "1000", "client": four_messages[2].client_id}
    counts = api.get(STATS, query).json()
    assert (counts["total"], counts["error_codes"]) == (1, {"rejected": 1})


def test_a_status_that_no_message_of_a_mailing_has_any_more_is_an_empty_page(
    api: APIClient, four_messages: list[Message], make_message: Make, now: datetime
) -> None:
    mailing = four_messages[3].mailing
    last = make_message(mailing=mailing)
    query: dict[str, Any] = {"mailing": mailing.pk, "status": "pending", "page_size": 1}
    make_message(mailing=mailing)
    first = api.get(MESSAGES, query).json()

    withdraw_message(last, now=now)
    withdraw_message(Message.objects.get(pk=first["results"][0]["id"]), now=now)
    with CaptureQueriesContext(connection) as context:
        page = api.get(first["next"]).json()

    assert (page["results"], page["next"]) == ([], None)
    assert not any("LIMIT 2" in query["sql"] for query in context.captured_queries)


@pytest.mark.parametrize(
    ("query", "number"),
    [({}, 4), ({"status": "fail"}, 2), ({"search": "1000"}, 1), ({"status": "success"}, 1)],
)
def test_a_list_can_be_counted(
    api: APIClient,
    four_messages: list[Message],
    query: dict[str, Any],
    number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def counted() -> Any:
        return api.get(f"{MESSAGES}count/", query).json()

    assert counted() == {"count": number, "is_capped": False}
    for module in ("toolkit.rest.counts", "messages_app.api.views"):
        monkeypatch.setattr(f"{module}.CAP", 1)
    assert counted() == {"count": 1, "is_capped": number > 1}


def test_a_count_that_looks_at_too_many_ends_and_says_so(
    api: APIClient, four_messages: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.rest.walking.FIRST_STRETCH", 1)
    monkeypatch.setattr("toolkit.rest.walking.COUNT_REACH", 2)

    counted = api.get(f"{MESSAGES}count/", {"search": "1000"}).json()
    assert counted == {"count": 1, "is_capped": True}


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
