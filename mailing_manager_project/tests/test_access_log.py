"""Each request is a line: who asked for what, and what came of it. Nothing in it is secret."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from knox.models import AuthToken
from rest_framework.test import APIClient

from tests.log import Event, heard
from toolkit.access.tokens import create_token

API = "/api/v1/"
NUMBER = "79991234567"


def asked(browser: Browser, method: str, path: str, **options: object) -> Event:
    """Ask for something; return the line of it."""
    with heard("access") as events:
        browser.generic(method, path, headers={"X-Request-Id": "mine"}, **options)  # type: ignore[arg-type]
    (event,) = events
    assert event.pop("ms") < 60_000
    assert (event.pop("level"), event.pop("logger")) == ("info", "access")
    for name in ("timestamp", "pid"):
        del event[name]
    return event


def test_a_program_is_named_by_its_user_and_its_token(operator: User) -> None:
    token = create_token(operator, name="The shop")
    browser = Browser(headers={"Authorization": f"Token {token}"})
    event = asked(browser, "GET", f"{API}clients/?search={NUMBER}")
    assert event == {
        "event": f"GET {API}clients/",
        "request_id": "mine",
        "status": 200,
        "address": "127.0.0.1",
        "user": "operator",
        "token": "The shop",
    }

    AuthToken.objects.create(operator, expiry=timedelta(days=1))  # as before there were names
    _, token = AuthToken.objects.create(operator, expiry=timedelta(days=1))
    event = asked(Browser(headers={"Authorization": f"Token {token}"}), "GET", f"{API}clients/")
    assert event["token"] == token[:15]
    assert len(token) > 60


def test_what_was_sent_is_not_in_it(api: APIClient) -> None:
    body = json.dumps({"phone_number": NUMBER, "tag": "secret"})
    event = asked(api, "POST", f"{API}clients/", data=body, content_type="application/json")
    assert event["status"] == 201
    assert "secret" not in str(event)
    assert NUMBER not in str(event)


def test_it_says_what_an_address_is_about(api: APIClient) -> None:
    event = asked(api, "GET", f"{API}mailings/12/clients/34/")
    assert (event["mailing"], event["client"], event["status"]) == (12, 34, 404)
    event = asked(api, "GET", f"/admin/messages_app/message/56/change/{NUMBER}")
    assert event["message"] == 56
    assert NUMBER not in event["event"]


@pytest.mark.django_db
def test_it_stays_one_line(client: Browser) -> None:
    assert asked(client, "GET", "/nothing%0Aforged")["event"] == "GET /nothing%0Aforged"


@pytest.mark.django_db
def test_who_is_not_known_has_no_name(client: Browser) -> None:
    event = asked(client, "GET", f"{API}clients/")
    assert (event["status"], event.keys() & {"user", "token"}) == (401, set())


def test_somebody_with_a_session_has_no_token(admin_client: Browser) -> None:
    event = asked(admin_client, "GET", "/admin/clients/client/")
    assert (event["user"], event.get("token")) == ("admin", None)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/health/", {}),
        ("/metrics", {}),
        ("/static/console/console.css", {}),
        ("/admin/", {"HX-Request": "true"}),
    ],
)
def test_what_is_asked_for_again_and_again_is_no_event(
    client: Browser, path: str, headers: dict[str, str]
) -> None:
    with heard("access") as events:
        client.get(path, headers=headers).close()
    assert events == []


def test_but_its_failure_is(client: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("A mistake of ours.")

    monkeypatch.setattr("health_check.views.HealthCheckView.get", fail)
    client.raise_request_exception = False
    assert asked(client, "GET", "/health/")["status"] == 500
