"""The change feed over REST."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from messages_app import services
from messages_app.ledger import folding
from messages_app.models import Message
from messages_app.tests.scenes import accept, claim_ids
from tests.rest import iso, refusal

pytestmark = pytest.mark.django_db

Make = Callable[..., Message]

CHANGES = "/api/v1/messages/changes/"


@pytest.fixture
def message(add: Callable[..., list[Message]]) -> Message:
    (message,) = add(1)
    return message


def test_a_change_says_what_there_is_to_know(api: APIClient, message: Message) -> None:
    page = api.get(CHANGES).json()
    (change,) = page["results"]
    assert change == {
        "message": message.pk,
        "sender_id": str(message.sender_id),
        "mailing": message.mailing_id,
        "client": message.client_id,
        "before": None,
        "status": "pending",
        "error_code": "",
        "is_final": False,
        "at": change["at"],
    }
    assert change["at"] <= iso(datetime.fromisoformat(change["at"]))
    assert page["has_more"] is False


def test_a_reader_goes_on_from_next(
    api: APIClient, message: Message, add: Callable[..., list[Message]], now: datetime
) -> None:
    first = api.get(CHANGES).json()
    again = api.get(CHANGES, {"after": first["next"]}).json()
    assert again == {"results": [], "next": first["next"], "has_more": False}
    accept(claim_ids(message.mailing, now), at=now)
    (change,) = api.get(CHANGES, {"after": first["next"]}).json()["results"]
    assert (change["before"], change["status"]) == ("pending", "success")


def test_pages_have_the_size_asked_for(api: APIClient, add: Callable[..., list[Message]]) -> None:
    add(5)
    after: Any = {}
    sizes = []
    has_more = True
    while has_more:
        page = api.get(CHANGES, {"page_size": 2, **after}).json()
        sizes.append(len(page["results"]))
        after, has_more = {"after": page["next"]}, page["has_more"]
    assert sizes == [2, 2, 1]


def test_a_reader_may_begin_with_what_comes_next(
    api: APIClient, add: Callable[..., list[Message]]
) -> None:
    add(2)
    page = api.get(CHANGES, {"after": "latest"}).json()
    assert page["results"] == []
    (message,) = add(1)
    (change,) = api.get(CHANGES, {"after": page["next"]}).json()["results"]
    assert change["message"] == message.pk


def test_of_a_message_that_is_gone_its_change_is_left(
    api: APIClient, message: Message, now: datetime
) -> None:
    services.withdraw_message(message, now=now)
    planned, withdrawn = api.get(CHANGES).json()["results"]
    assert (planned["sender_id"], planned["client"]) == (None, None)
    assert (withdrawn["before"], withdrawn["status"], withdrawn["is_final"]) == (
        "pending",
        None,
        True,
    )


def test_what_is_not_kept_any_more_is_gone_and_the_answer_says_where_to_go_on(
    api: APIClient, add: Callable[..., list[Message]], now: datetime
) -> None:
    add(1)
    here = api.get(CHANGES).json()["next"]
    for _ in range(2):
        add(1)
        folding.fold()
    folding.drop_old(before=now + timedelta(days=1))
    answer = api.get(CHANGES, {"after": here})
    assert refusal(answer) == (410, {None: "cursor_too_old"})
    cursor = answer.json()["errors"][0]["detail"].removesuffix(".").split()[-1]
    assert len(api.get(CHANGES, {"after": cursor}).json()["results"]) == 1
    assert len(api.get(CHANGES).json()["results"]) == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"after": "x"}, "after"),
        ({"after": "1.2.3"}, "after"),
        ({"page_size": "0"}, "page_size"),
        ({"page_size": "many"}, "page_size"),
        ({"cursor": "abc"}, "cursor"),
        ({"mailing": "1"}, "mailing"),
    ],
)
def test_nonsense_is_refused(api: APIClient, query: dict[str, str], field: str) -> None:
    status, fields = refusal(api.get(CHANGES, query))
    assert (status, set(fields)) == (400, {field})


def test_the_number_of_queries_does_not_grow_with_the_page(
    api: APIClient, add: Callable[..., list[Message]]
) -> None:
    def spent() -> int:
        folding.fold()
        with CaptureQueriesContext(connection) as context:
            assert api.get(CHANGES).status_code == 200
        return len(context)

    add(1)
    few = spent()
    add(50)
    assert spent() == few


def test_strangers_see_nothing(message: Message) -> None:
    assert APIClient().get(CHANGES).status_code == 401
