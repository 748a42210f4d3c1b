"""Another program's ids of clients: each there once, whichever way it comes."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client as Browser
from rest_framework.test import APIClient

from clients.finding import find_clients
from clients.imports import import_clients
from clients.models import Client
from tests.rest import refusal

pytestmark = pytest.mark.django_db

CLIENTS = "/api/v1/clients/"
ONE, TWO, THREE = "79991234567", "79991234568", "79991234569"


def stored() -> dict[str, str | None]:
    return dict(Client.objects.values_list("phone_number", "external_id"))


def import_text(text: str) -> dict[int, str]:
    errors: dict[int, str] = {}
    import_clients(io.BytesIO(text.encode()), on_error=errors.__setitem__)
    return errors


class TestOverRest:
    def test_it_is_set_changed_and_taken_away(self, api: APIClient) -> None:
        made = api.post(CLIENTS, {"phone_number": ONE, "external_id": " crm-1 "}).json()
        assert made["external_id"] == "crm-1"
        page = f"{CLIENTS}{made['id']}/"

        assert api.patch(page, {"tag": "vip"}).json()["external_id"] == "crm-1"
        assert api.patch(page, {"external_id": "crm-2"}).json()["external_id"] == "crm-2"
        assert api.patch(page, {"external_id": ""}).json()["external_id"] is None
        assert stored() == {ONE: None}

    def test_many_have_none(self, api: APIClient) -> None:
        for number, external_id in ((ONE, None), (TWO, ""), (THREE, " ")):
            answer = api.post(CLIENTS, {"phone_number": number, "external_id": external_id})
            assert answer.status_code == 201

        assert set(stored().values()) == {None}

    def test_one_that_another_client_has_is_refused_with_that_client(self, api: APIClient) -> None:
        first = api.post(CLIENTS, {"phone_number": ONE, "external_id": "crm-1"}).json()
        second = api.post(CLIENTS, {"phone_number": TWO}).json()

        for answer in (
            api.post(CLIENTS, {"phone_number": THREE, "external_id": "crm-1"}),
            api.patch(f"{CLIENTS}{second['id']}/", {"external_id": "crm-1"}),
            api.put(f"{CLIENTS}{second['id']}/", {"phone_number": TWO, "external_id": "crm-1"}),
        ):
            assert refusal(answer) == (409, {"external_id": "external_id_taken"})
            assert answer.json()["errors"][0]["id"] == first["id"]
        assert stored() == {ONE: "crm-1", TWO: None}

    @pytest.mark.parametrize("junk", [17, True, ["a"], {}])
    def test_it_is_a_text(self, api: APIClient, junk: Any) -> None:
        answer = api.post(CLIENTS, {"phone_number": ONE, "external_id": junk})

        assert refusal(answer) == (400, {"external_id": "invalid"})

    def test_it_finds_its_client(self, api: APIClient) -> None:
        for number, external_id in ((ONE, "a"), (TWO, "b"), (THREE, None)):
            Client.objects.create(phone_number=number, external_id=external_id)

        def found(query: str) -> list[str]:
            return [row["phone_number"] for row in api.get(f"{CLIENTS}?{query}").json()["results"]]

        assert found("external_id=a") == [ONE]
        assert found("external_id=a&external_id=b") == [TWO, ONE]
        assert found("external_id=A") == []

    def test_an_export_has_it(self, api: APIClient) -> None:
        Client.objects.create(phone_number=ONE, external_id="=crm-1")

        answer: Any = api.get(f"{CLIENTS}export.csv")

        assert b"".join(answer.streaming_content).splitlines()[1].split(b",")[5] == b"'=crm-1"


class TestInBulk:
    def test_it_is_set_kept_and_taken_away(self, api: APIClient) -> None:
        def send(**fields: Any) -> Any:
            rows = [{"phone_number": ONE, **fields}]
            return api.post(f"{CLIENTS}bulk/", {"mode": "strict", "clients": rows}).json()

        assert send(external_id="crm-1")["created"] == 1
        assert send(external_id="crm-1")["unchanged"] == 1
        assert (send(tag="vip")["updated"], stored()) == (1, {ONE: "crm-1"})
        assert (send(external_id=None)["updated"], stored()) == (1, {ONE: None})
        assert send(external_id="")["unchanged"] == 1

    def test_one_that_is_taken_is_rejected(self, api: APIClient) -> None:
        Client.objects.create(phone_number=ONE, external_id="crm-1")
        rows = [
            {"phone_number": TWO, "external_id": "crm-1"},  # the first client's
            {"phone_number": ONE, "external_id": "crm-1", "tag": "own"},
            {"phone_number": THREE, "external_id": "crm-3"},
            {"phone_number": "79991234570", "external_id": "crm-3"},  # that of the row before
        ]

        answer = api.post(f"{CLIENTS}bulk/", {"mode": "permissive", "clients": rows}).json()

        assert (answer["created"], answer["updated"], answer["rejected"]) == (1, 1, 2)
        assert [(e["index"], e["attr"], e["code"]) for e in answer["errors"]] == [
            (0, "external_id", "external_id_taken"),
            (3, "external_id", "external_id_taken"),
        ]
        assert stored() == {ONE: "crm-1", THREE: "crm-3"}


class TestInFiles:
    def test_a_column_sets_it_and_an_empty_cell_takes_it_away(self) -> None:
        Client.objects.create(phone_number=TWO, external_id="crm-2")

        errors = import_text(f"phone_number,external_id\n{ONE},crm-1\n{TWO},\n")

        assert (errors, stored()) == ({}, {ONE: "crm-1", TWO: None})

    def test_a_file_without_the_column_changes_none(self) -> None:
        Client.objects.create(phone_number=ONE, external_id="crm-1")

        import_text(f"phone_number,tag\n{ONE},vip\n")

        assert stored() == {ONE: "crm-1"}

    def test_rows_with_one_that_is_taken_are_bad(self) -> None:
        Client.objects.create(phone_number=ONE, external_id="crm-1")

        errors = import_text(
            f"phone_number,external_id\n{TWO},crm-1\n{THREE},crm-3\n{ONE},crm-3\n{THREE},crm-3\n"
        )

        assert list(errors) == [2, 4]
        assert errors[2] == (
            "external_id 'crm-1': There is already a client with this external id."
        )
        assert stored() == {ONE: "crm-1", THREE: "crm-3"}

    def test_one_that_cannot_be_read_is_bad(self) -> None:
        assert list(import_text(f"phone_number,external_id\n{ONE},{'x' * 65}\n")) == [2]


class TestInTheConsole:
    def test_it_is_written_shown_and_found(self, admin_client: Browser) -> None:
        form = {"phone_number": ONE, "operator_code": "", "tag": "", "timezone": "UTC"}
        admin_client.post("/admin/clients/client/add/", {**form, "external_id": "crm-1"})
        client = Client.objects.get()

        page = admin_client.get(f"/admin/clients/client/{client.pk}/change/")
        assert 'value="crm-1"' in page.content.decode()
        for query, found in (("crm-1", [client]), ("crm-2", [])):
            response = admin_client.get("/admin/clients/client/", {"q": query})
            assert list(response.context["cl"].result_list) == found

    def test_one_that_is_taken_is_refused(self, admin_client: Browser) -> None:
        Client.objects.create(phone_number=ONE, external_id="crm-1")
        form = {"phone_number": TWO, "operator_code": "", "tag": "", "timezone": "UTC"}

        page = admin_client.post("/admin/clients/client/add/", {**form, "external_id": "crm-1"})

        assert "There is already a client with this external id." in page.content.decode()
        assert stored() == {ONE: "crm-1"}

    def test_digits_are_looked_for_as_an_id_too(self) -> None:
        client = Client.objects.create(phone_number=ONE, external_id="4711")

        assert find_clients("4711", most=5) == [client]
        assert list(Client.objects.named_by("4711")) == [client]


def test_the_database_refuses_what_two_writers_would_give_at_once(
    make_clients: Callable[..., list[Client]],
) -> None:
    first, second = make_clients(2)
    Client.objects.filter(pk=first.pk).update(external_id="crm-1")

    with pytest.raises(IntegrityError), transaction.atomic():
        Client.objects.filter(pk=second.pk).update(external_id="crm-1")


@pytest.mark.postgres
def test_the_index_serves_the_look_up() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        plan = Client.objects.filter(external_id__in=["a", "b"]).order_by().explain()
    assert "client_external_id_once" in plan
