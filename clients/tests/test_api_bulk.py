"""POST clients/bulk/ adds and changes thousands of clients in one call."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from clients.models import Client
from tests.rest import refusal

BULK = "/api/v1/clients/bulk/"
NUMBER = "79991234567"
AtOnce = Callable[..., list[Any]]


def send(api: APIClient, *clients: object, mode: str = "permissive", key: str | None = None) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return api.post(BULK, {"mode": mode, "clients": list(clients)}, headers=headers)


def numbered(count: int, first: int = 0, **fields: str) -> list[dict[str, str]]:
    return [{"phone_number": f"7999{first + i:07}", **fields} for i in range(count)]


def counts(answer: Any) -> tuple[int, int, int, int]:
    assert answer.status_code == 200, answer.json()
    body = answer.json()
    return body["created"], body["updated"], body["unchanged"], body["rejected"]


def stored(number: str = NUMBER) -> tuple[str, str, str]:
    client = Client.objects.get(phone_number=number)
    return client.operator_code, client.tag, str(client.timezone)


def test_new_clients_have_what_is_given_and_the_usual_defaults(api: APIClient) -> None:
    answer = send(
        api,
        {"phone_number": "+7 999 123-45-67"},
        {
            "phone_number": "79261234567",
            "operator_code": "495",
            "tag": " vip ",
            "timezone": "Europe/Moscow",
        },
    )

    assert counts(answer) == (2, 0, 0, 0)
    assert answer.json()["errors"] == []
    assert stored() == ("999", "", "UTC")
    assert stored("79261234567") == ("495", "vip", "Europe/Moscow")


def test_of_a_known_number_only_the_given_fields_are_changed(api: APIClient) -> None:
    send(api, {"phone_number": NUMBER, "operator_code": "495", "tag": "a", "timezone": "Asia/Omsk"})

    answer = send(
        api,
        {"phone_number": NUMBER, "tag": "b"},
        {"phone_number": "79260000001", "timezone": "Europe/Moscow"},
        {"phone_number": "79260000002", "operator_code": "1", "tag": "c"},
    )

    assert counts(answer) == (2, 1, 0, 0)
    assert stored() == ("495", "b", "Asia/Omsk")
    assert stored("79260000001") == ("926", "", "Europe/Moscow")
    assert stored("79260000002") == ("1", "c", "UTC")


def test_fields_may_be_mixed_among_known_clients(api: APIClient) -> None:
    send(api, *numbered(4, tag="old", timezone="Asia/Omsk"))

    answer = send(
        api,
        {**numbered(1)[0], "tag": "new"},
        {**numbered(1, first=1)[0], "timezone": "UTC"},
        {**numbered(1, first=2)[0], "tag": "old"},
        numbered(1, first=3)[0],
    )

    assert counts(answer) == (0, 2, 2, 0)
    assert [stored(f"7999{i:07}")[1:] for i in range(4)] == [
        ("new", "Asia/Omsk"),
        ("old", "UTC"),
        ("old", "Asia/Omsk"),
        ("old", "Asia/Omsk"),
    ]


def test_empty_texts_reset_what_may_be_empty(api: APIClient) -> None:
    send(api, {"phone_number": NUMBER, "operator_code": "495", "tag": "vip"})

    send(api, {"phone_number": NUMBER, "operator_code": "", "tag": ""})

    assert stored() == ("999", "", "UTC")


def test_what_is_as_it_was_is_not_written(api: APIClient) -> None:
    send(api, {"phone_number": NUMBER, "tag": "vip"})
    before = Client.objects.get().updated_at

    assert counts(send(api, {"phone_number": NUMBER, "tag": "vip"})) == (0, 0, 1, 0)
    assert Client.objects.get().updated_at == before


WRONG: list[tuple[Any, dict[str | None, str]]] = [
    ({"phone_number": "12345"}, {"phone_number": "invalid_phone_number"}),
    ({"phone_number": " "}, {"phone_number": "blank"}),
    ({"phone_number": 79991234567}, {"phone_number": "invalid"}),
    ({"phone_number": None}, {"phone_number": "invalid"}),
    ({"tag": "vip"}, {"phone_number": "required"}),
    ({"phone_number": NUMBER, "tga": "vip"}, {"tga": "unknown_field"}),
    ({"phone_number": NUMBER, "tag": "a\x00b"}, {"tag": "invalid_tag"}),
    ({"phone_number": NUMBER, "tag": "x" * 65}, {"tag": "invalid_tag"}),
    ({"phone_number": NUMBER, "operator_code": "9a"}, {"operator_code": "invalid"}),
    ({"phone_number": NUMBER, "timezone": "Mars/Olympus"}, {"timezone": "invalid_time_zone"}),
    ({"phone_number": NUMBER, "timezone": ""}, {"timezone": "blank"}),
    (
        {"phone_number": "1", "operator_code": "x", "tag": "\ud800", "timezone": "Mars"},
        {
            "phone_number": "invalid_phone_number",
            "operator_code": "invalid",
            "tag": "invalid_tag",
            "timezone": "invalid_time_zone",
        },
    ),
    (NUMBER, {None: "invalid"}),
    (None, {None: "invalid"}),
    ([NUMBER], {None: "invalid"}),
]


@pytest.mark.parametrize(("client", "reasons"), WRONG)
def test_permissive_saves_the_others_and_says_what_is_wrong(
    api: APIClient, client: Any, reasons: dict[str | None, str]
) -> None:
    answer = send(api, *numbered(2), client, *numbered(1, first=2))

    assert counts(answer) == (3, 0, 0, 1)
    errors = answer.json()["errors"]
    assert {error["attr"]: error["code"] for error in errors} == reasons
    assert {error["index"] for error in errors} == {2}
    assert all(error["detail"] for error in errors)
    assert Client.objects.count() == 3


@pytest.mark.parametrize(("client", "reasons"), WRONG)
def test_strict_saves_nothing_and_says_all_that_is_wrong(
    api: APIClient, client: Any, reasons: dict[str | None, str]
) -> None:
    answer = send(api, {"phone_number": "x"}, client, *numbered(2), mode="strict")

    assert refusal(answer) == (
        400,
        {
            "clients.0.phone_number": "invalid_phone_number",
            **{
                f"clients.1.{name}" if name else "clients.1": code for name, code in reasons.items()
            },
        },
    )
    assert not Client.objects.exists()


def test_strict_saves_all_that_is_right(api: APIClient) -> None:
    assert counts(send(api, *numbered(3), mode="strict")) == (3, 0, 0, 0)


def test_a_number_is_there_once_however_it_is_written(api: APIClient) -> None:
    answer = send(
        api,
        {"phone_number": NUMBER, "tag": "a"},
        {"phone_number": "+7 999 123-45-67", "tag": "b"},
    )

    assert counts(answer) == (1, 0, 0, 1)
    (error,) = answer.json()["errors"]
    assert (error["index"], error["attr"], error["code"]) == (1, "phone_number", "repeated_number")
    assert "index 0" in error["detail"]
    assert stored()[1] == "a"


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        ({"clients": [{"phone_number": NUMBER}]}, {"mode": "required"}),
        ({"mode": "careful", "clients": [{"phone_number": NUMBER}]}, {"mode": "invalid_choice"}),
        ({"mode": "strict"}, {"clients": "required"}),
        ({"mode": "strict", "clients": []}, {"clients": "empty"}),
        ({"mode": "strict", "clients": {}}, {"clients": "not_a_list"}),
        ({"mode": "strict", "clients": None}, {"clients": "null"}),
        ({"mode": "strict", "clients": [], "dry_run": True}, {"dry_run": "unknown_field"}),
        ([], {None: "invalid"}),
    ],
)
def test_a_body_that_is_none_is_refused(
    api: APIClient, body: Any, reasons: dict[str | None, str]
) -> None:
    status, found = refusal(api.post(BULK, body))

    assert (status, set(found.values())) == (400, set(reasons.values()))


def test_more_than_ten_thousand_are_refused_with_what_to_do(api: APIClient) -> None:
    answer = send(api, *[{"phone_number": NUMBER}] * 10_001)

    assert refusal(answer) == (400, {"clients": "max_length"})
    detail = answer.json()["errors"][0]["detail"]
    assert "10,001" in detail
    assert "imports/" in detail


def test_however_many_they_are_they_take_one_statement(api: APIClient) -> None:
    send(api, *numbered(10, tag="old"))
    with CaptureQueriesContext(connection) as few:
        send(api, *numbered(5, tag="new"), *numbered(3, first=7, timezone="Asia/Omsk"))
    with CaptureQueriesContext(connection) as many:
        send(api, *numbered(600, tag="a"), *numbered(300, first=500, timezone="Asia/Omsk"))

    assert len(many) == len(few)


def test_repeated_with_its_key_it_is_done_once(api: APIClient) -> None:
    clients = [*numbered(3), {"phone_number": "x"}]
    first = send(api, *clients, key="a-key")
    Client.objects.all().delete()

    second = send(api, *clients, key="a-key")

    assert second.json() == first.json()
    assert second.headers["Idempotent-Replayed"] == "true"
    assert not Client.objects.exists()
    assert refusal(send(api, *numbered(4), key="a-key"))[0] == 422


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_calls_at_once_with_the_same_numbers_neither_deadlock_nor_lose_a_field(
    api: APIClient, at_once: AtOnce
) -> None:
    send(api, *numbered(500))
    tags, zones = numbered(1_000, tag="vip"), numbered(1_000, timezone="Asia/Omsk")
    zones[::2] = [{**client, "operator_code": "1"} for client in zones[::2]]
    calls = [tags, zones, tags[::-1], zones[::-1]]

    answers = at_once(*[lambda clients=clients: send(api, *clients) for clients in calls])

    assert [answer.status_code for answer in answers] == [200] * 4
    assert sum(answer.json()["created"] for answer in answers) == 500
    assert Client.objects.filter(tag="vip", timezone="Asia/Omsk").count() == 1_000
    assert Client.objects.filter(operator_code="1").count() == 500
