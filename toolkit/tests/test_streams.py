"""Streams of rows, over an export of clients that is made for these tests."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.urls import path
from rest_framework.test import APIClient

from clients.api.filters import ClientFilterSet
from clients.models import Client
from tests.rest import refusal
from toolkit.rest.permissions import needs
from toolkit.rest.streams import AT_ONCE, CHUNK, CSV, NDJSON, ExportView, in_chunks

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

MakeClients = Callable[..., list[Client]]


class ClientExport(ExportView[Client]):
    queryset = Client.objects.all()
    needs = needs(Client)
    filterset_class = ClientFilterSet
    file_name = "clients"
    columns = ("id", "tag", "timezone", "created_at")

    def chunks(self) -> Iterator[Any]:
        return in_chunks(self.filter_queryset(self.get_queryset()), self.columns)


class Broken(ClientExport):
    at = 0  # the chunk that fails

    def chunks(self) -> Iterator[Any]:
        for _ in range(self.at):
            yield [(1, "", "UTC", None)]
        raise OperationalError("the server closed the connection")


urlpatterns = [
    path("clients.csv", ClientExport.as_view(format=CSV)),
    path("clients.ndjson", ClientExport.as_view(format=NDJSON)),
    path("broken.csv", Broken.as_view()),
    path("half.csv", Broken.as_view(at=2)),
    path("admin/", admin.site.urls),  # whose address the sessions' middleware asks for
]


@pytest.fixture(autouse=True)
def _answers_and_no_tracebacks(api: APIClient) -> None:
    api.raise_request_exception = False


def content(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def rows(response: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content(response).decode(), newline="")))


def test_csv_has_a_header_and_the_rows_newest_first(
    api: APIClient, make_clients: MakeClients
) -> None:
    old, new = make_clients(2, tag="vip, или нет", timezone="Europe/Moscow")

    response = api.get("/clients.csv")

    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="clients.csv"'
    first, second = rows(response)
    assert (first["id"], second["id"]) == (str(new.pk), str(old.pk))
    assert (first["tag"], first["timezone"]) == ("vip, или нет", "Europe/Moscow")
    assert first["created_at"] == new.created_at.isoformat().replace("+00:00", "Z")


def test_ndjson_is_an_object_on_each_line(api: APIClient, make_clients: MakeClients) -> None:
    (client,) = make_clients(1, tag="строка\nи ещё")

    response = api.get("/clients.ndjson")

    assert response["Content-Type"] == "application/x-ndjson; charset=utf-8"
    (line,) = content(response).decode().splitlines()
    assert json.loads(line) == {
        "id": client.pk,
        "tag": "строка\nи ещё",
        "timezone": "UTC",
        "created_at": client.created_at.isoformat().replace("+00:00", "Z"),
    }


def test_nothing_is_a_formula(api: APIClient, make_clients: MakeClients) -> None:
    make_clients(1, tag="=HYPERLINK(1)")

    assert rows(api.get("/clients.csv"))[0]["tag"] == "'=HYPERLINK(1)"


def test_of_no_rows_the_header_is_left(api: APIClient) -> None:
    assert content(api.get("/clients.csv")) == b"id,tag,timezone,created_at\r\n"
    assert content(api.get("/clients.ndjson")) == b""


def test_the_filters_of_the_list_apply(api: APIClient, make_clients: MakeClients) -> None:
    make_clients(2, tag="vip")
    make_clients(3, tag="new")

    assert len(rows(api.get("/clients.csv?tag=vip"))) == 2
    assert refusal(api.get("/clients.csv?tga=vip")) == (400, {"tga": "unknown_parameter"})
    assert refusal(api.get("/clients.csv?page_size=5")) == (
        400,
        {"page_size": "unknown_parameter"},
    )


def test_who_takes_gzip_gets_it(api: APIClient, make_clients: MakeClients) -> None:
    make_clients(3)
    plain = content(api.get("/clients.csv"))

    compressed = api.get("/clients.csv", headers={"Accept-Encoding": "br, gzip"})

    assert compressed["Content-Encoding"] == "gzip"
    assert compressed["Vary"] == "Accept-Encoding"
    assert gzip.decompress(content(compressed)) == plain
    refusing = api.get("/clients.csv", headers={"Accept-Encoding": "gzip;q=0, br"})
    assert "Content-Encoding" not in refusing
    content(refusing)


def test_every_chunk_is_a_short_statement_and_no_row_comes_twice(
    make_clients: MakeClients,
) -> None:
    make_clients(7)
    with CaptureQueriesContext(connection) as queries:
        chunks = [
            [row[0] for row in chunk] for chunk in in_chunks(Client.objects.all(), ["pk"], size=3)
        ]

    assert [len(chunk) for chunk in chunks] == [3, 3, 1]
    ids = [pk for chunk in chunks for pk in chunk]
    assert ids == sorted(set(ids), reverse=True)
    assert len(queries) == 3


def test_rows_in_another_order(make_clients: MakeClients) -> None:
    make_clients(5)
    chunks = in_chunks(Client.objects.all(), ["phone_number"], key="phone_number", size=2)

    numbers = [number for chunk in chunks for (number,) in chunk]

    assert numbers == sorted(numbers)
    assert len(numbers) == 5


def test_no_more_rows_are_read_than_somebody_takes(
    api: APIClient, make_clients: MakeClients
) -> None:
    make_clients(2 * CHUNK + 1)
    with CaptureQueriesContext(connection) as queries:
        response: Any = api.get("/clients.csv")
        next(response.streaming_content)
        assert len(queries) == 1
        assert b"".join(response.streaming_content).count(b"\r\n") == 2 * CHUNK + 1
    assert len(queries) == 3


def test_what_fails_before_the_first_row_is_an_error_like_any_other(
    api: APIClient,
) -> None:
    assert refusal(api.get("/broken.csv")) == (503, {None: "database_unavailable"})


def test_what_fails_later_cuts_the_answer(api: APIClient) -> None:
    with pytest.raises(OperationalError):
        content(api.get("/half.csv"))


def test_streams_never_take_all_threads(api: APIClient) -> None:
    streams = [api.get("/clients.csv") for _ in range(AT_ONCE)]

    refused = api.get("/clients.csv")

    assert refused["Retry-After"] == "5"
    assert refusal(refused) == (503, {None: "too_many_exports"})
    for response in streams:
        content(response)
    assert [api.get("/broken.csv").status_code for _ in range(AT_ONCE + 1)] == [503] * (AT_ONCE + 1)
    again = [api.get("/clients.csv") for _ in range(AT_ONCE)]
    assert {response.status_code for response in again} == {200}
    for response in again:
        content(response)


def test_the_caller_must_take_the_format_and_errors_are_json(api: APIClient) -> None:
    for accept in ("text/csv", "text/*", "*/*", "application/json"):
        response = api.get("/clients.csv", headers={"Accept": accept})
        assert response["Content-Type"] == "text/csv; charset=utf-8"
        content(response)

    assert refusal(api.get("/clients.csv", headers={"Accept": "image/png"})) == (
        406,
        {None: "not_acceptable"},
    )
    refused = api.get("/clients.csv?tag=", headers={"Accept": "text/csv"})
    assert refused["Content-Type"] == "application/json"


def test_head_reads_no_rows(api: APIClient, make_clients: MakeClients) -> None:
    make_clients(1)

    with CaptureQueriesContext(connection) as queries:
        response = api.head("/clients.csv")

    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response.content == b""
    assert not queries
