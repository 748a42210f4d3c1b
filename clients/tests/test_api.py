"""Clients over REST: what is stored, what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from clients.api.serializers import ClientSerializer
from clients.models import Client
from messages_app.models import Message
from tests.rest import iso, refusal

CLIENTS = "/api/v1/clients/"
NUMBER = "79991234567"
MB5 = 5_000_000  # characters


def add(api: APIClient, **fields: Any) -> Any:
    return api.post(CLIENTS, {"phone_number": NUMBER, **fields})


def assert_taken(answer: Any, pk: int) -> None:
    """Check that a number is refused because of the client with an id."""
    assert refusal(answer) == (409, {"phone_number": "phone_number_taken"})
    assert answer.json()["errors"][0]["id"] == pk


def test_a_client_has_exactly_the_documented_fields(api: APIClient) -> None:
    answer = add(api, tag="vip", timezone="Europe/Moscow")

    client = Client.objects.get()
    assert answer.status_code == 201
    assert answer.json() == {
        "id": client.pk,
        "phone_number": NUMBER,
        "operator_code": "999",
        "tag": "vip",
        "timezone": "Europe/Moscow",
        "external_id": None,
        "created_at": iso(client.created_at),
        "updated_at": iso(client.updated_at),
    }
    assert api.get(f"{CLIENTS}{client.pk}/").json() == answer.json()


def test_a_number_is_all_that_is_needed(api: APIClient) -> None:
    client = add(api).json()

    assert (client["tag"], client["timezone"]) == ("", "UTC")


@pytest.mark.parametrize(
    "written",
    ["+7 999 123-45-67", "7 (999) 123.45.67", "+7 8 999 123 45 67", "٧٩٩٩١٢٣٤٥٦٧"],
)
def test_a_number_is_stored_as_digits_however_it_was_written(api: APIClient, written: str) -> None:
    assert add(api, phone_number=written).json()["phone_number"] == NUMBER


@pytest.mark.parametrize(
    "junk",
    [
        *("5", "112", "+1 800 FLOWERS", "7999123456789012345", "((((", "79991234567\x00"),
        "\ud800",
        pytest.param("7" * MB5, id="5 MB of digits"),
        pytest.param("x" * MB5, id="5 MB of letters"),
    ],
)
def test_what_is_no_international_number_is_refused(api: APIClient, junk: Any) -> None:
    assert refusal(add(api, phone_number=junk)) == (400, {"phone_number": "invalid_phone_number"})


@pytest.mark.parametrize("junk", [None, True, [], {}, "", " ", 79991234567, 79991234567.5, 1e300])
def test_what_is_no_text_is_no_number(api: APIClient, junk: Any) -> None:
    status, reasons = refusal(add(api, phone_number=junk))

    assert (status, list(reasons)) == (400, ["phone_number"])


def test_a_number_is_unique_however_it_is_written(api: APIClient) -> None:
    first = add(api).json()

    assert_taken(add(api, phone_number="+7 (999) 123-45-67"), first["id"])
    assert Client.objects.count() == 1


def test_a_client_keeps_its_own_number_when_it_is_saved_again(api: APIClient) -> None:
    pk = add(api).json()["id"]

    answer = api.put(f"{CLIENTS}{pk}/", {"phone_number": "+7 999 123-45-67", "tag": "new"})

    assert answer.status_code == 200
    assert answer.json()["tag"] == "new"


def test_a_client_cannot_take_the_number_of_another(api: APIClient) -> None:
    first = add(api).json()
    other = add(api, phone_number="79990000000").json()

    for method in (api.patch, api.put):
        answer = method(f"{CLIENTS}{other['id']}/", {"phone_number": NUMBER})
        assert_taken(answer, first["id"])


@pytest.mark.parametrize("fields", [{}, {"operator_code": ""}, {"operator_code": " "}])
def test_an_operator_code_that_is_not_told_comes_from_the_number(
    api: APIClient, fields: dict[str, str]
) -> None:
    assert add(api, **fields).json()["operator_code"] == "999"


def test_an_operator_code_that_was_told_survives_a_change_of_number(api: APIClient) -> None:
    pk = add(api, operator_code="77").json()["id"]

    changed = api.patch(f"{CLIENTS}{pk}/", {"phone_number": "79261234567"}).json()

    assert (changed["phone_number"], changed["operator_code"]) == ("79261234567", "77")


def test_an_operator_code_that_was_derived_follows_a_change_of_number(api: APIClient) -> None:
    pk = add(api).json()["id"]

    changed = api.patch(f"{CLIENTS}{pk}/", {"phone_number": "79261234567"}).json()

    assert changed["operator_code"] == "926"


def test_a_replaced_client_has_the_code_of_its_number_unless_another_is_told(
    api: APIClient,
) -> None:
    pk = add(api, operator_code="77").json()["id"]

    def replaced(**fields: str) -> Any:
        return api.put(f"{CLIENTS}{pk}/", {"phone_number": NUMBER, **fields}).json()

    assert replaced(operator_code="88")["operator_code"] == "88"
    assert replaced()["operator_code"] == "999"


@pytest.mark.parametrize("junk", ["x", "٣", "123456789", "1\x00", "\ud800", None, [], True, 999])
def test_an_operator_code_is_up_to_eight_digits(api: APIClient, junk: Any) -> None:
    status, reasons = refusal(add(api, operator_code=junk))

    assert (status, list(reasons)) == (400, ["operator_code"])


@pytest.mark.parametrize(
    "junk",
    [
        *("x" * 65, "\x00", "\x07", "\ud800", None, [], {}, True, 0, 1.5),
        pytest.param("x" * MB5, id="5 MB"),
    ],
)
def test_a_tag_is_a_text_of_up_to_64_characters(api: APIClient, junk: Any) -> None:
    status, reasons = refusal(add(api, tag=junk))

    assert (status, list(reasons)) == (400, ["tag"])


@pytest.mark.parametrize(
    "junk",
    [
        *("../etc", "America", "", "utc", "localtime", "/etc/localtime", "posixrules"),
        *("Europe/Moscow\x00", "\ud800", "+03:00", 5, None, [], {}, True),
        pytest.param("x" * MB5, id="5 MB"),
    ],
)
def test_a_time_zone_has_a_name_of_the_iana_database(api: APIClient, junk: Any) -> None:
    status, reasons = refusal(add(api, timezone=junk))

    assert (status, list(reasons)) == (400, ["timezone"])


def test_what_is_not_told_in_a_patch_stays_as_it_is(api: APIClient) -> None:
    before = add(api, tag="vip", timezone="Europe/Moscow").json()

    after = api.patch(f"{CLIENTS}{before['id']}/", {}).json()

    assert {**after, "updated_at": ""} == {**before, "updated_at": ""}


def test_what_is_read_only_may_be_sent_back_as_it_is_and_not_otherwise(api: APIClient) -> None:
    client = add(api).json()
    path = f"{CLIENTS}{client['id']}/"

    refused = api.put(path, {**client, "id": 5, "created_at": "2001-01-01T00:00:00Z"})
    answer = api.put(path, client)

    assert refusal(refused) == (400, {"id": "read_only", "created_at": "read_only"})
    assert answer.json() == {**client, "updated_at": answer.json()["updated_at"]}


@pytest.mark.parametrize("name", ["time_zone", "\ud800", "", "x" * 1000, "tag\x00"])
def test_a_misspelt_field_is_refused(api: APIClient, name: str) -> None:
    status, reasons = refusal(add(api, **{name: "x"}))

    assert status == 400
    assert list(reasons.values()) == ["unknown_field"]


def test_a_deleted_client_leaves_its_messages_with_the_number(
    api: APIClient, make_message: Callable[..., Message]
) -> None:
    message = make_message(status="success", phone_number=NUMBER, next_attempt_at=None)

    answer = api.delete(f"{CLIENTS}{message.client_id}/")

    assert answer.status_code == 204
    shown = api.get(f"/api/v1/messages/{message.pk}/").json()
    assert (shown["client"], shown["phone_number"]) == (None, NUMBER)
    assert Message.objects.get().phone_number == NUMBER


def test_two_changes_at_once_do_not_undo_each_other(
    make_clients: Callable[..., list[Client]], db: None
) -> None:
    (client,) = make_clients(1)
    stale = ClientSerializer(Client.objects.get(), data={"tag": "vip"}, partial=True)
    Client.objects.update(timezone="Europe/Moscow")

    stale.is_valid(raise_exception=True)
    stale.save()

    client.refresh_from_db()
    assert (client.tag, str(client.timezone)) == ("vip", "Europe/Moscow")
