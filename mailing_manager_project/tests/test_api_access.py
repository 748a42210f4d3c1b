"""Who may use the REST API: whoever is logged in, by session or by token."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.utils import timezone
from knox.models import AuthToken
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from tests.rest import JsonClient, refusal
from toolkit.access.models import Grant
from toolkit.access.tokens import create_token

API = "/api/v1/"
ROOMS = ("clients/", "mailings/", "messages/")
CLOSED = [
    *((method, room) for room in ROOMS for method in ("get", "post", "head", "options")),
    *((method, f"{room}1/") for room in ROOMS for method in ("get", "put", "patch", "delete")),
    *(("get", f"{room}stats/") for room in (*ROOMS, "mailings/1/")),
    *(("post", f"mailings/1/{deed}/") for deed in ("pause", "resume", "cancel")),
    *(("post", f"messages/1/{deed}/") for deed in ("resend", "confirm")),
    ("get", "messages/1/attempts/"),
    *((method, "sender/") for method in ("get", "patch", "head", "options")),
    ("post", "sender/probe/"),
    ("get", ""),
    ("get", "nothing/"),
]


@pytest.fixture
def token(operator: User) -> str:
    """Return a token of somebody who may log in."""
    return str(AuthToken.objects.create(operator)[1])


@pytest.fixture
def traveller() -> Iterator[time_machine.Traveller]:
    """Return a clock that stands still and can be set."""
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        yield traveller


def with_token(header: str) -> APIClient:
    return JsonClient(headers={"authorization": header})


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_nothing_is_done_or_told_without_a_login(method: str, path: str) -> None:
    answer = getattr(JsonClient(), method)(f"{API}{path}")

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer realm="Mailing Manager", Token realm="Mailing Manager"'
    )
    if method != "head":
        assert refusal(answer) == (401, {None: "not_authenticated"})


@pytest.mark.parametrize("path", [f"{API}schema/", f"{API}docs/", "/health/"])
def test_schema_docs_and_health_are_open(db: None, path: str) -> None:
    assert JsonClient().get(path).status_code == 200


@pytest.mark.parametrize("accept", ["x", "\xff", "text/html;;", ",", "image/png"])
def test_health_is_told_or_not_in_the_format_asked_for(db: None, accept: str) -> None:
    answer = JsonClient().get("/health/", headers={"accept": accept})

    assert answer.status_code == 406


@pytest.mark.parametrize("scheme", ["Token", "Bearer", "token", "BEARER"])
def test_a_token_is_a_login(token: str, scheme: str) -> None:
    assert with_token(f"{scheme} {token}").get(f"{API}clients/").status_code == 200


def test_a_token_needs_no_csrf_token(token: str) -> None:
    api = JsonClient(enforce_csrf_checks=True, headers={"authorization": f"Token {token}"})

    assert api.post(f"{API}clients/", {"phone_number": "79991234567"}).status_code == 201


@pytest.mark.parametrize(
    "header",
    [
        *("Token", "Token ", "Token x", "Token a b", "Token \xff", "Token \x00", "Token abc\x00"),
        *("Token abcdefgh", "token " + "0" * 100_000, "Token \xed\xa0\x80"),
        *("Bearer", "Bearer x", "Bearer a b"),
    ],
)
def test_what_is_no_token_is_refused(db: None, header: str) -> None:
    answer = with_token(header).get(f"{API}clients/")

    assert refusal(answer) == (401, {None: "authentication_failed"})
    assert 'Bearer realm="Mailing Manager", error="invalid_token"' in answer["WWW-Authenticate"]


@pytest.mark.parametrize("header", ["Bearerx", "Basic eDp4", "\xff", "x" * 10_000, ""])
def test_another_kind_of_login_is_none(db: None, header: str) -> None:
    answer = with_token(header).get(f"{API}clients/")

    assert refusal(answer) == (401, {None: "not_authenticated"})


def test_a_changed_token_is_refused(token: str) -> None:
    answer = with_token(f"Token {token[:-1]}{'0' if token[-1] != '0' else '1'}").get(
        f"{API}clients/"
    )

    assert refusal(answer) == (401, {None: "authentication_failed"})


def test_the_token_of_an_inactive_user_is_refused(operator: User, token: str) -> None:
    User.objects.update(is_active=False)

    answer = with_token(f"Token {token}").get(f"{API}clients/")

    assert refusal(answer) == (401, {None: "authentication_failed"})


def test_an_expired_token_says_since_when_and_stays_to_be_seen(
    operator: User, traveller: time_machine.Traveller
) -> None:
    api = with_token(f"Token {create_token(operator, days=1)}")
    assert api.get(f"{API}clients/").status_code == 200

    traveller.shift(timedelta(days=1, seconds=1))
    answer = api.get(f"{API}clients/")

    assert refusal(answer) == (401, {None: "authentication_failed"})
    expiry = AuthToken.objects.get().expiry
    assert f"expired at {expiry:%Y-%m-%d %H:%M} UTC" in answer.json()["errors"][0]["detail"]


class TestLastUse:
    @pytest.fixture
    def machine(self, operator: User) -> APIClient:
        return with_token(f"Token {create_token(operator)}")

    def last_use(self) -> datetime | None:
        return Grant.objects.get().last_used_at

    def test_it_is_written_once_a_minute(
        self,
        machine: APIClient,
        traveller: time_machine.Traveller,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:
        assert self.last_use() is None
        machine.get(f"{API}clients/")
        first = self.last_use()
        assert first == timezone.now()

        traveller.shift(timedelta(seconds=59))
        with django_assert_num_queries(4) as queries:  # token, two of permissions, clients
            machine.get(f"{API}clients/")
        assert not [each for each in queries.captured_queries if "UPDATE" in each["sql"]]
        assert self.last_use() == first

        traveller.shift(timedelta(seconds=2))
        machine.get(f"{API}clients/")
        assert self.last_use() == timezone.now()

    def test_that_of_a_token_of_before_there_were_scopes_is_kept_from_then_on(
        self, token: str
    ) -> None:
        with_token(f"Token {token}").get(f"{API}clients/")

        assert self.last_use() is not None
        assert Grant.objects.get().scope == "operate"

    def test_a_refused_request_is_no_use(self, machine: APIClient) -> None:
        User.objects.update(is_active=False)
        machine.get(f"{API}clients/")

        assert self.last_use() is None


def test_a_session_is_a_login_as_long_as_its_user_is_active(operator: User) -> None:
    browser = JsonClient()
    browser.force_login(operator)
    assert browser.get(f"{API}clients/").status_code == 200

    User.objects.update(is_active=False)

    assert refusal(browser.get(f"{API}clients/")) == (401, {None: "not_authenticated"})


def test_a_session_changes_things_only_with_its_csrf_token(operator: User) -> None:
    browser = JsonClient(enforce_csrf_checks=True)
    browser.force_login(operator)
    payload = {"phone_number": "79991234567"}
    browser.cookies["csrftoken"] = "x" * 32

    refused = browser.post(f"{API}clients/", payload)
    accepted = browser.post(f"{API}clients/", payload, headers={"x-csrftoken": "x" * 32})

    assert refusal(refused) == (403, {None: "permission_denied"})
    assert accepted.status_code == 201


@pytest.mark.parametrize(
    "cookie",
    ["sessionid=x", 'sessionid="\\000aaaaaaaa"', "sessionid=\xff\xffaaaaaaaa", "=;=" * 1000],
)
def test_what_is_no_session_is_refused(db: None, cookie: str) -> None:
    """Postgres cannot even look for a NUL."""
    answer = JsonClient().get(f"{API}clients/", headers={"cookie": cookie})

    assert refusal(answer)[0] in {400, 401}
