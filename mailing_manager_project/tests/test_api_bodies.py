"""What the REST API makes of bodies that are no JSON object: it says so, and does nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIRequest
from django.http.request import UnreadablePostError
from rest_framework.test import APIClient

from clients.models import Client
from messages_app.models import Message
from tests.rest import JsonClient, refusal

API = "/api/v1/"
JSON = "application/json"
MB = 1_000_000  # bytes


@pytest.fixture(params=["clients", "mailings", "messages"])
def room(request: pytest.FixtureRequest) -> str:
    """Return the address of each list in turn."""
    return f"{API}{request.param}/"


@pytest.fixture(params=["clients", "mailings", "messages"])
def thing(request: pytest.FixtureRequest, make_message: Callable[..., Message], db: None) -> str:
    """Return the address of one of each in turn."""
    message = make_message()
    pk = {"clients": message.client_id, "mailings": message.mailing_id, "messages": message.pk}
    return f"{API}{request.param}/{pk[request.param]}/"


NOT_JSON = [
    *("{", "[", '"', "{]", '{"a":}', "{'a': 1}", "x", " ", "{} {}", "1 2", "\ufeff{}"),
    *("NaN", "-Infinity", '{"text": NaN}', '{"text": 1e999}', '{"mailing": -1e999}'),
    pytest.param("9" * 5000, id="an integer of 5,000 digits"),
    pytest.param("[" * 100_000, id="lists in lists without end"),
    pytest.param('{"a":' * 100_000 + "1" + "}" * 100_000, id="objects in objects"),
    pytest.param(b"\xff\xfe{\x00}\x00", id="UTF-16"),
    pytest.param(b'{"text": "\xe9"}', id="Latin-1"),
    pytest.param(b"\x00" * 1000, id="zeros"),
]


@pytest.mark.parametrize("body", NOT_JSON)
def test_what_is_not_json_is_refused(api: APIClient, room: str, body: Any) -> None:
    answer = api.generic("POST", room, body, content_type=JSON)

    assert refusal(answer) == (400, {None: "parse_error"})


@pytest.mark.parametrize("body", ["null", "true", "5", "1.5", '"x"', "[]", "[{}]", "[[[]]]"])
def test_what_is_not_an_object_is_refused(api: APIClient, room: str, thing: str, body: str) -> None:
    for method, path in (("POST", room), ("PUT", thing), ("PATCH", thing)):
        status, reasons = refusal(api.generic(method, path, body, content_type=JSON))

        assert (status, list(reasons)) == (400, ["non_field_errors"])


@pytest.mark.parametrize("body", ["", "{}"])
def test_an_empty_body_lacks_what_is_required(api: APIClient, room: str, body: str) -> None:
    status, reasons = refusal(api.generic("POST", room, body, content_type=JSON))

    assert status == 400
    assert set(reasons.values()) == {"required"}


def test_json_of_any_depth_is_read_or_refused(api: APIClient) -> None:
    """A few depths could still be read, but no more be written by something deeper down."""
    for depth in range(600, 1000, 2):
        body = f'{{"text": 5, "filters": {"[" * depth}{"]" * depth}}}'
        answer = api.generic("POST", f"{API}mailings/", body, content_type=JSON)
        assert answer.status_code == 400


@pytest.mark.parametrize(
    "content_type",
    [
        *("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"),
        *("multipart/form-data", "application/xml", "application/json5", "json", ";", ""),
    ],
)
def test_a_body_that_is_not_called_json_is_refused(
    api: APIClient, room: str, thing: str, content_type: str
) -> None:
    for method, path in (("POST", room), ("PUT", thing), ("PATCH", thing)):
        answer = api.generic(method, path, "phone_number=79991234567", content_type=content_type)

        assert refusal(answer) == (415, {None: "unsupported_media_type"})


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "latin-1", "utf-16", "\xff"])
def test_json_is_utf_8_whatever_it_claims_to_be(api: APIClient, charset: str) -> None:
    body = '{"phone_number": "79991234567", "tag": "ж"}'

    answer = api.generic(
        "POST", f"{API}clients/", body, content_type=f"application/json; charset={charset}"
    )

    assert answer.json()["tag"] == "ж"


def test_a_form_of_a_session_is_refused_whatever_its_size(operator: User) -> None:
    browser = JsonClient(enforce_csrf_checks=True)
    browser.force_login(operator)
    browser.cookies["csrftoken"] = "x" * 32

    for content_type in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = browser.generic(
            "POST", f"{API}clients/", "a=" + "x" * 11 * MB, content_type=content_type
        )
        assert refusal(answer) == (415, {None: "unsupported_media_type"})


def test_a_body_of_more_than_ten_megabytes_is_refused(api: APIClient) -> None:
    body = '{"phone_number": "79991234567"' + " " * 11 * MB + "}"

    answer = api.generic("POST", f"{API}clients/", body, content_type=JSON)

    assert refusal(answer) == (413, {None: "too_large"})
    assert not Client.objects.exists()


def test_a_body_of_spaces_is_read_to_its_end(api: APIClient) -> None:
    body = '{"phone_number": "79991234567"' + " " * 9 * MB + "}"

    assert api.generic("POST", f"{API}clients/", body, content_type=JSON).status_code == 201


def test_a_body_that_breaks_off_is_refused(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(request: WSGIRequest) -> bytes:
        raise UnreadablePostError("The connection was closed.")

    monkeypatch.setattr(WSGIRequest, "body", property(broken))

    assert refusal(api.post(f"{API}clients/", {})) == (400, {None: "parse_error"})


def test_of_a_name_told_twice_the_last_counts(api: APIClient) -> None:
    body = '{"phone_number": "79991234567", "tag": "first", "tag": "last"}'

    answer = api.generic("POST", f"{API}clients/", body, content_type=JSON)

    assert answer.json()["tag"] == "last"
