"""Addresses and methods of the REST API: what is not there says so in the one error format."""

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from clients.models import Client
from messages_app.models import Message
from tests.rest import refusal

API = "/api/v1/"
ROOMS = ("clients/", "mailings/", "messages/")
NOTHING = (404, {None: "not_found"})


@pytest.fixture
def message(make_message: Callable[..., Message], db: None) -> Message:
    """Save a message, and so a mailing and a client."""
    return make_message()


def things(message: Message) -> list[str]:
    ids = (message.client_id, message.mailing_id, message.pk)
    return [f"{API}{room}{pk}/" for room, pk in zip(ROOMS, ids, strict=True)]


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize(
    "pk",
    [
        *("0", "-1", "999999", "9223372036854775807", "9223372036854775808", "9" * 30),
        *("abc", "1.5", "1e3", "%00", "%ED%A0%80", "null", "..%2F1", "9" * 5000),
    ],
)
def test_an_id_of_nothing_is_not_found(api: APIClient, room: str, pk: str) -> None:
    path = f"{API}{room}{pk}/"

    for answer in (api.get(path), api.put(path, {}), api.patch(path, {}), api.delete(path)):
        assert refusal(answer) == NOTHING


@pytest.mark.parametrize("pk", ["999999", "9223372036854775808", "abc", "-1"])
@pytest.mark.parametrize(
    "deed",
    ["mailings/{}/pause/", "mailings/{}/resume/", "mailings/{}/cancel/", "messages/{}/resend/"],
)
def test_nothing_can_be_done_with_nothing(api: APIClient, deed: str, pk: str) -> None:
    assert refusal(api.post(f"{API}{deed.format(pk)}")) == NOTHING


@pytest.mark.parametrize(
    "path",
    ["/api/", API, f"{API}nothing/", f"{API}mailings/1/fly/", f"{API}docs/x/", "/api/v2/clients/"],
)
@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
def test_an_address_of_nothing_is_not_found(api: APIClient, path: str, method: str) -> None:
    assert refusal(getattr(api, method)(path)) == NOTHING


@pytest.mark.parametrize("method", ["get", "post"])
def test_an_address_without_its_slash_is_not_found_and_never_redirects(
    api: APIClient, method: str, settings: pytest.FixtureRequest
) -> None:
    """A redirect would lose the body; with DEBUG on, Django would even raise."""
    settings.DEBUG = True  # type: ignore[attr-defined]  # the fixture is pytest-django's

    answer = getattr(api, method)(f"{API}clients", {"phone_number": "79991234567"})

    assert refusal(answer) == NOTHING
    assert "slash" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *((method, room) for room in ROOMS for method in ("put", "patch", "delete")),
        *((method, f"{room}stats/") for room in ROOMS for method in ("post", "put", "delete")),
        *(("get", f"mailings/1/{deed}/") for deed in ("pause", "resume", "cancel")),
        ("post", "mailings/1/stats/"),
        ("get", "messages/1/resend/"),
        ("delete", "messages/1/resend/"),
    ],
)
def test_a_method_that_means_nothing_is_refused(api: APIClient, method: str, path: str) -> None:
    answer = getattr(api, method)(f"{API}{path}")

    assert refusal(answer) == (405, {None: "method_not_allowed"})


def test_nothing_can_be_posted_to_one_thing(api: APIClient, message: Message) -> None:
    for path in things(message):
        assert refusal(api.post(path, {})) == (405, {None: "method_not_allowed"})


def test_head_answers_as_get_does_without_the_body(api: APIClient, message: Message) -> None:
    lists = [f"{API}{room}" for room in ROOMS]
    counts = [f"{path}stats/" for path in (*lists, f"{API}mailings/{message.mailing_id}/")]

    for path in (*lists, *counts, *things(message)):
        head, get = api.head(path), api.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Type"] == get.headers["Content-Type"] == "application/json"
    assert api.head(f"{API}clients/999999/").status_code == 404


def test_options_tell_what_can_be_sent(api: APIClient, message: Message) -> None:
    for path in (*(f"{API}{room}" for room in ROOMS), *things(message)):
        answer = api.options(path)
        assert answer.status_code == 200
        assert answer.json()["parses"] == ["application/json"]
        assert set(answer.json()["actions"]) <= {"POST", "PUT"}


@pytest.mark.parametrize("path", ["docs/", "schema/"])
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_schema_and_docs_can_only_be_read(api: APIClient, path: str, method: str) -> None:
    assert getattr(api, method)(f"{API}{path}").status_code == 405


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "x", ",;,", "\xff"])
def test_an_answer_is_json_or_none(api: APIClient, accept: str) -> None:
    answer = api.get(f"{API}clients/", headers={"accept": accept})

    assert refusal(answer) == (406, {None: "not_acceptable"})


@pytest.mark.parametrize(
    "path", ["clients/", "mailings/1/", "messages/stats/", "nothing/", "docs/", "schema/"]
)
def test_parameters_without_number_are_refused(api: APIClient, path: str) -> None:
    for query in ("&" * 1500, "a=1&" * 1500):
        assert api.get(f"{API}{path}?{query}").status_code == 400


def test_query_parameters_of_one_thing_change_nothing(api: APIClient, message: Message) -> None:
    for path in things(message):
        assert api.get(f"{path}?tag=x&status=fail&nothing=1").json() == api.get(path).json()
    assert api.delete(f"{API}clients/{message.client_id}/?tag=other").status_code == 204
    assert not Client.objects.exists()
