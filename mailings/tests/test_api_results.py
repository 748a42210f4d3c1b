"""What became of a mailing's messages, as a file."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from messages_app.models import Message
from tests.rest import refusal

Make = Callable[..., Any]
SUFFIXES = ("csv", "ndjson")


@pytest.fixture
def five(db: None, make_mailing: Make, make_message: Make) -> list[Message]:
    """Save five messages of a mailing, the last to nobody, and one of another mailing."""
    mailing = make_mailing()
    final = {"mailing": mailing, "next_attempt_at": None}
    messages = [
        make_message(**final, status="success", phone_number="79990000001"),
        make_message(**final, status="fail", error_code="rejected", error="=HYPERLINK(1)"),
        make_message(mailing=mailing),
        make_message(**final, status="fail", error_code="expired", error="Too late"),
        make_message(**final, status="success", client=None, phone_number="79990000002"),
    ]
    make_message()
    return messages


def read(api: APIClient, message: Message, suffix: str, query: str = "") -> str:
    answer: Any = api.get(f"/api/v1/mailings/{message.mailing_id}/results.{suffix}{query}")
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode()


def rows(text: str, suffix: str) -> list[dict[str, Any]]:
    if suffix == "csv":
        return list(csv.DictReader(io.StringIO(text)))
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("chunk", [1, 2, 2000])
def test_every_message_is_there_once_in_the_order_of_clients(
    api: APIClient,
    five: list[Message],
    suffix: str,
    chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mailings.api.results.CHUNK", chunk)

    found = rows(read(api, five[0], suffix), suffix)

    assert [int(row["id"]) for row in found] == [five[number].pk for number in (3, 2, 1, 0, 4)]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("?status=fail", [3, 1]),
        ("?status=fail&status=pending", [3, 2, 1]),
        ("?error_code=rejected", [1]),
        ("?status=success&error_code=rejected", []),
    ],
)
def test_filters_apply(
    api: APIClient, five: list[Message], suffix: str, query: str, numbers: list[int]
) -> None:
    found = rows(read(api, five[0], suffix, query), suffix)

    assert [int(row["id"]) for row in found] == [five[number].pk for number in numbers]


def test_ndjson_has_the_names_and_values_of_the_list(api: APIClient, five: list[Message]) -> None:
    for row in rows(read(api, five[0], "ndjson"), "ndjson"):
        message = api.get(f"/api/v1/messages/{row['id']}/").json()
        assert row == {name: message[name] for name in row}
        assert len(row) == 11


def test_no_text_is_a_formula(api: APIClient, five: list[Message]) -> None:
    (row,) = rows(read(api, five[0], "csv", "?error_code=rejected"), "csv")

    assert row["error"] == "'=HYPERLINK(1)"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_wrong_is_said_before_anything_is_sent(
    api: APIClient, five: list[Message], suffix: str
) -> None:
    path = f"/api/v1/mailings/{five[0].mailing_id}/results.{suffix}"

    assert refusal(api.get(f"{path}?mailing=1")) == (400, {"mailing": "unknown_parameter"})
    assert refusal(api.get(f"{path}?status=sent")) == (400, {"status": "invalid_choice"})
    assert api.get(f"/api/v1/mailings/999999999/results.{suffix}").status_code == 404


def test_each_statement_looks_at_a_chunk(
    api: APIClient,
    five: list[Message],
    monkeypatch: pytest.MonkeyPatch,
    django_assert_num_queries: Any,
) -> None:
    """However few are selected: two statements for two messages, and those at the end."""
    monkeypatch.setattr("mailings.api.results.CHUNK", 2)

    with django_assert_num_queries(9):  # the mailing; 3 and 1 times two
        assert rows(read(api, five[0], "ndjson", "?error_code=throttled"), "ndjson") == []
