"""Lists and pages of one answer with the fields that are asked for, and with what they refer to."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from clients.models import Client
from mailings.models import Mailing
from messages_app.models import Message
from tests.rest import refusal

pytestmark = pytest.mark.django_db

API = "/api/v1/"
ROOMS = ("clients", "mailings", "messages")


@pytest.fixture
def rows(
    make_clients: Callable[..., list[Client]],
    make_mailing: Callable[..., Mailing],
    make_message: Callable[..., Message],
) -> dict[str, int]:
    """Save a client, a mailing and a message; return {room: id}."""
    (client,) = make_clients(1)
    mailing = make_mailing()
    message = make_message(mailing=mailing, client=client)
    return {"clients": client.pk, "mailings": mailing.pk, "messages": message.pk}


@pytest.mark.parametrize("room", ROOMS)
def test_only_the_chosen_fields_are_answered(
    api: APIClient, rows: dict[str, int], room: str
) -> None:
    page = f"{API}{room}/{rows[room]}/"

    listed = api.get(f"{API}{room}/?fields=created_at,%20id").json()["results"]
    alone = api.get(f"{page}?fields=created_at&fields=id")

    created_at = api.get(page).json()["created_at"]
    assert listed == [alone.json()] == [{"id": rows[room], "created_at": created_at}]


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("names", ["id,colour", "colour", "id,", "ID"])
def test_an_unknown_field_is_refused_with_those_there_are(
    api: APIClient, rows: dict[str, int], room: str, names: str
) -> None:
    for path in (f"{API}{room}/", f"{API}{room}/{rows[room]}/"):
        answer = api.get(path, {"fields": names})

        assert refusal(answer) == (400, {"fields": "unknown_field"})
        assert "there are id, " in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("room", ["imports", "webhooks", *ROOMS])
def test_every_list_takes_it(api: APIClient, room: str) -> None:
    assert api.get(f"{API}{room}/", {"fields": "id"}).status_code == 200


@pytest.mark.parametrize("path", ["clients/stats/", "clients/count/", "clients/export.csv"])
def test_what_has_no_rows_to_choose_from_refuses_the_parameter(api: APIClient, path: str) -> None:
    assert refusal(api.get(f"{API}{path}?fields=id")) == (400, {"fields": "unknown_parameter"})


def test_the_tag_names_what_is_shown(api: APIClient, rows: dict[str, int]) -> None:
    page = f"{API}clients/{rows['clients']}/"
    tags = {api.get(f"{page}{query}")["ETag"] for query in ("", "?fields=id", "?fields=id,tag")}
    known = api.get(f"{page}?fields=id")["ETag"]

    assert len(tags) == 3
    Client.objects.update(tag="new")
    assert api.get(f"{page}?fields=id", headers={"If-None-Match": known}).status_code == 304
    assert api.patch(page, {"tag": "x"}, headers={"If-Match": known}).status_code == 412


def test_writes_answer_with_all_fields(api: APIClient, rows: dict[str, int]) -> None:
    page = f"{API}clients/{rows['clients']}/"

    assert set(api.patch(f"{page}?fields=id", {"tag": "x"}).json()) == set(api.get(page).json())


class TestExpand:
    def test_messages_show_their_clients(self, api: APIClient, rows: dict[str, int]) -> None:
        page = f"{API}messages/{rows['messages']}/"
        client = api.get(f"{API}clients/{rows['clients']}/").json()

        (listed,) = api.get(f"{API}messages/?expand=client").json()["results"]
        alone = api.get(f"{page}?expand=client").json()

        assert listed == alone == {**api.get(page).json(), "expanded": {"client": client}}
        assert alone["client"] == rows["clients"]
        chosen = api.get(f"{page}?expand=client&fields=id,expanded").json()
        assert chosen == {"id": rows["messages"], "expanded": {"client": client}}

    def test_that_of_a_deleted_client_is_null(self, api: APIClient, rows: dict[str, int]) -> None:
        Client.objects.get().delete()

        (listed,) = api.get(f"{API}messages/?expand=client").json()["results"]

        assert listed["expanded"] == {"client": None}

    def test_all_clients_of_a_page_take_one_query(
        self,
        api: APIClient,
        make_clients: Callable[..., list[Client]],
        make_mailing: Callable[..., Mailing],
        make_message: Callable[..., Message],
    ) -> None:
        mailing = make_mailing()
        for client in make_clients(5):
            make_message(mailing=mailing, client=client)

        def queries(**query: str) -> int:
            with CaptureQueriesContext(connection) as context:
                assert len(api.get(f"{API}messages/", query).json()["results"]) == 5
            return len(context)

        assert queries(expand="client") == queries() + 1

    @pytest.mark.parametrize("name", ["mailing", "clients", "client,client"])
    def test_nothing_else_can_be_expanded(
        self, api: APIClient, rows: dict[str, int], name: str
    ) -> None:
        for path in (f"{API}messages/", f"{API}messages/{rows['messages']}/"):
            answer = api.get(path, {"expand": name})
            assert refusal(answer) == (400, {"expand": "invalid_choice"})
        answer = api.get(f"{API}clients/?expand=client")
        assert refusal(answer) == (400, {"expand": "unknown_parameter"})

    def test_it_needs_the_right_to_see_clients(
        self, django_user_model: type[User], rows: dict[str, int]
    ) -> None:
        user = django_user_model.objects.create(username="messages only")
        user.user_permissions.add(Permission.objects.get(codename="view_message"))
        api = APIClient()
        api.force_authenticate(user)

        assert api.get(f"{API}messages/").status_code == 200
        for path in ("messages/", f"messages/{rows['messages']}/"):
            assert api.get(f"{API}{path}?expand=client").status_code == 403

    def test_what_was_shown_can_be_sent_back(self, api: APIClient, rows: dict[str, int]) -> None:
        page = f"{API}messages/{rows['messages']}/"
        shown: dict[str, Any] = api.get(f"{page}?expand=client").json()

        assert api.put(page, shown).status_code == 200
