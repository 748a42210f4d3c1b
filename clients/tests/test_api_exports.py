"""GET clients/export.csv and clients/export.ndjson: what the list selects, all of it."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from clients.models import Client
from tests.rest import refusal

MakeClients = Callable[..., list[Client]]
EXPORT = "/api/v1/clients/export"


def content(response: Any) -> str:
    return b"".join(response.streaming_content).decode()


def test_ndjson_has_what_the_list_has(api: APIClient, make_clients: MakeClients) -> None:
    make_clients(3, tag="vip", timezone="Europe/Moscow")

    lines = content(api.get(f"{EXPORT}.ndjson")).splitlines()

    assert [json.loads(line) for line in lines] == api.get("/api/v1/clients/").json()["results"]


def test_csv_has_the_same_fields_as_texts(api: APIClient, make_clients: MakeClients) -> None:
    make_clients(3, tag="vip")

    rows = list(csv.DictReader(io.StringIO(content(api.get(f"{EXPORT}.csv")), newline="")))

    listed = api.get("/api/v1/clients/").json()["results"]
    assert rows == [
        {name: "" if value is None else str(value) for name, value in client.items()}
        for client in listed
    ]


@pytest.mark.parametrize(
    "query", ["tag=vip", "tag=vip&tag=new", "phone_number=7999&search=9", "operator_code=926"]
)
def test_the_filters_are_those_of_the_list(
    api: APIClient, make_clients: MakeClients, query: str
) -> None:
    make_clients(2, tag="vip")
    make_clients(1, tag="new", operator_code="926")
    make_clients(1, tag="old")

    lines = content(api.get(f"{EXPORT}.ndjson?{query}")).splitlines()

    listed = api.get(f"/api/v1/clients/?{query}").json()["results"]
    assert listed
    assert [json.loads(line)["id"] for line in lines] == [client["id"] for client in listed]


def test_a_filter_that_there_is_not_selects_nobody(api: APIClient) -> None:
    assert refusal(api.get(f"{EXPORT}.csv?tga=vip")) == (400, {"tga": "unknown_parameter"})
    assert refusal(api.get(f"{EXPORT}.csv?page_size=7")) == (
        400,
        {"page_size": "unknown_parameter"},
    )


def test_there_are_no_other_formats(api: APIClient) -> None:
    assert api.get(f"{EXPORT}.xml").status_code == 404
    assert api.get(f"{EXPORT}.csv/").status_code == 404
