"""Lists and counts of clients over REST."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from clients import tally
from clients.api import filters
from clients.models import Client
from tests.rest import iso, refusal

CLIENTS = "/api/v1/clients/"


@pytest.fixture
def three_clients(db: None, make_clients: Callable[..., list[Client]]) -> None:
    """Save Ann in Moscow, Bob in Samara and Cid in Moscow, of two operators."""
    make_clients(1, phone_number="79990000001", tag="Ann", timezone="Europe/Moscow")
    make_clients(1, phone_number="79990000012", tag="Bob", timezone="Europe/Samara")
    make_clients(
        1, phone_number="79261000000", tag="Cid", timezone="Europe/Moscow", operator_code="926"
    )


def found(api: APIClient, **query: str | list[str]) -> list[str]:
    answer = api.get(CLIENTS, query)
    assert answer.status_code == 200, answer.json()
    return [client["tag"] for client in answer.json()["results"]]


@pytest.mark.usefixtures("three_clients")
@pytest.mark.parametrize(
    ("query", "tags"),
    [
        ({}, ["Cid", "Bob", "Ann"]),
        ({"operator_code": "999"}, ["Bob", "Ann"]),
        ({"tag": "Ann"}, ["Ann"]),
        ({"tag": ["Ann", "Bob"]}, ["Bob", "Ann"]),
        ({"operator_code": ["926", "999"], "timezone": "Europe/Samara"}, ["Bob"]),
        ({"timezone": ["Europe/Samara", "UTC"]}, ["Bob"]),
        ({"tag": "An"}, []),
        ({"timezone": "Europe/Moscow"}, ["Cid", "Ann"]),
        ({"phone_number": "7999"}, ["Bob", "Ann"]),
        ({"phone_number": "+7999"}, ["Bob", "Ann"]),
        ({"phone_number": "+7 (999) 0"}, ["Bob", "Ann"]),
        ({"phone_number": "+7 999 000-00-12"}, ["Bob"]),
        ({"phone_number": "+7 8 999 000-00-12"}, ["Bob"]),
        ({"phone_number": "999"}, []),
        ({"search": "+79990000012"}, ["Bob"]),
        ({"search": "+7 999 000-00-12"}, ["Bob"]),
        ({"search": "000-00-12"}, ["Bob"]),
        ({"search": "1000"}, ["Cid"]),
        ({"search": "bO"}, ["Bob"]),
        ({"search": "%"}, []),
        ({"operator_code": "999", "timezone": "Europe/Moscow"}, ["Ann"]),
    ],
)
def test_a_list_has_the_clients_asked_for_newest_first(
    api: APIClient, query: dict[str, str | list[str]], tags: list[str]
) -> None:
    assert found(api, **query) == tags


@pytest.mark.parametrize("path", [CLIENTS, f"{CLIENTS}stats/"])
@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("tags=vip", "tags"),
        ("Tag=vip", "Tag"),
        ("a[b]=1", "a[b]"),
        ("tag=%00", "tag"),
        ("search=%00", "search"),
        ("operator_code=%00", "operator_code"),
        ("phone_number=abc", "phone_number"),
        ("phone_number=%D9%A7", "phone_number"),
        ("timezone=../etc", "timezone"),
        ("timezone=America", "timezone"),
        ("timezone=localtime", "timezone"),
        ("timezone=UTC&timezone=America", "timezone"),
        *((f"{name}=", name) for name in ("phone_number", "operator_code", "tag", "timezone")),
        *((f"{name}=1&{name}=%20", name) for name in ("operator_code", "tag", "search")),
        *((f"{name}=1&{name}=2", name) for name in ("phone_number", "search")),
    ],
)
def test_a_parameter_that_means_nothing_is_refused(
    api: APIClient, path: str, query: str, name: str
) -> None:
    status, reasons = refusal(api.get(f"{path}?{query}"))

    assert (status, list(reasons)) == (400, [name])


def test_pages_of_counts_do_not_exist(api: APIClient) -> None:
    assert refusal(api.get(f"{CLIENTS}stats/?page_size=5")) == (
        400,
        {"page_size": "unknown_parameter"},
    )


@pytest.mark.usefixtures("three_clients")
def test_clients_are_counted_in_all_and_by_what_mailings_select_them_by(api: APIClient) -> None:
    assert api.get(f"{CLIENTS}stats/").json() == {
        "total": 3,
        "operator_codes": {"999": 2, "926": 1},
        "tags": {"Ann": 1, "Bob": 1, "Cid": 1},
        "timezones": {"Europe/Moscow": 2, "Europe/Samara": 1},
    }


@pytest.mark.usefixtures("three_clients")
def test_only_the_selected_clients_are_counted(api: APIClient) -> None:
    assert api.get(f"{CLIENTS}stats/", {"timezone": "Europe/Samara"}).json() == {
        "total": 1,
        "operator_codes": {"999": 1},
        "tags": {"Bob": 1},
        "timezones": {"Europe/Samara": 1},
    }


@pytest.mark.usefixtures("three_clients")
@pytest.mark.parametrize(
    ("query", "total"),
    [
        ({"search": "ann"}, 1),
        ({"timezone": "Europe/Moscow", "phone_number": "7"}, 2),
        ({"timezone": ["Europe/Moscow", "Europe/Samara"], "tag": " Bob "}, 1),
    ],
)
def test_stats_and_count_agree_whether_the_tally_knows_or_not(
    api: APIClient, monkeypatch: pytest.MonkeyPatch, query: dict[str, Any], total: int
) -> None:
    told = api.get(f"{CLIENTS}stats/", query).json()
    monkeypatch.setattr(tally, "MOST_KINDS", 0)

    assert told == api.get(f"{CLIENTS}stats/", query).json()
    assert told["total"] == total
    assert api.get(f"{CLIENTS}count/", query).json() == {"count": total, "is_capped": False}


def test_no_clients_are_counted_as_none(api: APIClient) -> None:
    assert api.get(f"{CLIENTS}stats/").json() == {
        "total": 0,
        "operator_codes": {},
        "tags": {},
        "timezones": {},
    }


@pytest.mark.parametrize(("path", "queries"), [(CLIENTS, 1), (f"{CLIENTS}stats/", 1)])
def test_the_number_of_queries_does_not_grow_with_the_number_of_clients(
    api: APIClient, make_clients: Callable[..., list[Client]], path: str, queries: int
) -> None:
    def spent(**query: Any) -> int:
        with CaptureQueriesContext(
            connection,
        ) as context:
            assert api.get(path, query).status_code == 200
        return len(context)

    make_clients(1)
    assert spent() == queries
    make_clients(50)
    assert spent() == queries


@pytest.mark.usefixtures("three_clients")
@pytest.mark.parametrize("few", [1, 10_000])
def test_clients_are_found_by_when_they_were_added_and_changed(
    api: APIClient, now: datetime, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(filters, "FEW", few)
    for days, tag in enumerate(("Ann", "Bob", "Cid")):
        made = now + timedelta(days=days)
        # Who was added first was changed last.
        changed = now + timedelta(days=10 - days)
        Client.objects.filter(tag=tag).update(created_at=made, updated_at=changed)

    def day(number: int) -> str:
        return iso(now + timedelta(days=number))

    assert found(api, created_after=day(1)) == ["Cid", "Bob"]
    assert found(api, created_before=day(1)) == ["Ann"]
    assert found(api, created_after=day(1), created_before=day(2)) == ["Bob"]
    assert found(api, created_after=day(3)) == []
    assert found(api, updated_after=day(9)) == ["Bob", "Ann"]
    assert found(api, updated_before=day(9)) == ["Cid"]
    assert found(api, updated_after=day(9), updated_before=day(10)) == ["Bob"]
    assert found(api, updated_after=day(11)) == []
    assert found(api, updated_after=day(9), tag="Ann", created_before=day(1)) == ["Ann"]
    assert found(api, created_before=day(2), timezone="Europe/Moscow") == ["Ann"]
    assert api.get(f"{CLIENTS}count/", {"updated_after": day(9)}).json()["count"] == 2


def test_a_time_has_an_offset(api: APIClient) -> None:
    answer = api.get(CLIENTS, {"updated_after": "2030-01-01T00:00:00"})

    assert refusal(answer) == (400, {"updated_after": "naive"})
