"""What HTTP says of every answer: ids, places, who may keep it, how long to wait, other origins."""

import gzip
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.http import HttpRequest
from django.urls import URLPattern, URLResolver, get_resolver
from psycopg import errors as postgres
from pytest_django import Settings
from rest_framework.test import APIClient

from clients.models import Client
from messages_app.models import Message
from tests.log import heard
from tests.rest import iso, refusal
from toolkit import request_ids

API = "/api/v1/"
PAYLOAD = {"phone_number": "79991234567"}
PROBLEM = "application/problem+json"


@pytest.fixture
def api(api: APIClient) -> APIClient:
    """Return a client that hands out answers of 500 and more instead of raising their cause."""
    api.raise_request_exception = False
    return api


@pytest.fixture
def mistake(monkeypatch: pytest.MonkeyPatch) -> str:
    """Have a middleware fail, of which no view hears; return an address of the API."""

    def fail(request: HttpRequest) -> None:
        raise RuntimeError("A mistake of ours.")

    monkeypatch.setattr("django.middleware.csrf.CsrfViewMiddleware.process_request", fail)
    return f"{API}clients/"


class TestRequestIds:
    @pytest.mark.parametrize("sent", ["a", "7f.A_b-9", "x" * 128])
    def test_an_id_that_was_sent_comes_back(self, api: APIClient, sent: str) -> None:
        answer = api.get(f"{API}clients/", headers={"X-Request-Id": sent})
        assert answer.headers["X-Request-Id"] == sent

    @pytest.mark.parametrize("sent", ["", "x" * 129, "a b", "a\nb", "é", "<b>", None])
    def test_without_a_sane_one_each_request_gets_its_own(
        self, api: APIClient, sent: str | None
    ) -> None:
        headers = {} if sent is None else {"X-Request-Id": sent}
        ids = [api.get(f"{API}clients/", headers=headers).headers["X-Request-Id"] for _ in "12"]
        assert ids[0] != ids[1]
        for each in ids:
            assert request_ids.ACCEPTED.fullmatch(each)
            assert each != sent

    @pytest.mark.parametrize(
        ("path", "host", "status"),
        [
            ("/admin/login/", "testserver", 200),
            (f"{API}clients/0/", "testserver", 404),
            (f"{API}nothing/", "testserver", 404),
            (f"{API}clients/", "elsewhere.example", 400),
            ("/nothing/", "testserver", 404),
            ("/health/", "testserver", 200),
        ],
    )
    def test_errors_and_pages_have_one_too(
        self, api: APIClient, path: str, host: str, status: int
    ) -> None:
        answer = api.get(path, headers={"X-Request-Id": "mine", "Host": host})
        assert (answer.status_code, answer.headers["X-Request-Id"]) == (status, "mine")

    def test_a_mistake_of_ours_has_one_in_the_answer_and_in_the_log(
        self, api: APIClient, mistake: str
    ) -> None:
        with heard("django.request") as events:
            answer = api.get(mistake, headers={"X-Request-Id": "mine"})

        assert answer.headers["X-Request-Id"] == "mine"
        assert (events[0]["level"], events[0]["request_id"]) == ("error", "mine")
        assert events[0]["event"].startswith("Internal Server Error")
        assert request_ids.current() == ""

    def test_a_repeated_post_has_its_own(self, api: APIClient) -> None:
        for request_id in ("first", "second"):
            headers = {"X-Request-Id": request_id, "Idempotency-Key": "k"}
            answer = api.post(f"{API}clients/", PAYLOAD, headers=headers)
            assert answer.headers["X-Request-Id"] == request_id


class TestLocation:
    def test_what_was_made_is_found_where_the_answer_says(
        self, api: APIClient, make_message: Callable[..., Message], now: datetime
    ) -> None:
        message = make_message()
        (other,) = Client.objects.bulk_create([Client(phone_number="79995550000")])
        times = {"start_time": iso(now), "stop_time": iso(now + timedelta(hours=1))}
        for room, body in (
            ("clients", PAYLOAD),
            ("mailings", {**times, "text": "Hello", "filters": {}}),
            ("messages", {"mailing": message.mailing_id, "client": other.pk}),
        ):
            made = api.post(f"{API}{room}/", body, headers={"Idempotency-Key": room})
            again = api.post(f"{API}{room}/", body, headers={"Idempotency-Key": room})
            assert made.status_code == 201
            assert made.headers["Location"] == f"{API}{room}/{made.json()['id']}/"
            assert again.headers["Location"] == made.headers["Location"]
            assert api.get(made.headers["Location"]).json()["id"] == made.json()["id"]

    def test_every_viewset_that_makes_things_has_an_address_for_each(self) -> None:
        names = {pattern.name for pattern in patterns(get_resolver())}
        making = {
            pattern.callback.initkwargs["basename"]
            for pattern in patterns(get_resolver())
            if "post" in getattr(pattern.callback, "actions", ()) and pattern.name
        }
        assert {"client", "mailing", "message"} <= making
        assert {f"{basename}-detail" for basename in making} <= names


def patterns(resolver: URLResolver) -> Iterator[Any]:
    for each in resolver.url_patterns:
        if isinstance(each, URLPattern):
            yield each
        elif each.namespace != "admin":
            yield from patterns(each)


class TestCaching:
    def test_who_asked_may_keep_what_has_a_tag_and_must_ask_again(
        self, api: APIClient, make_clients: Callable[..., list[Client]]
    ) -> None:
        path = f"{API}clients/{make_clients(1)[0].pk}/"
        answer = api.get(path)
        known = api.get(path, headers={"If-None-Match": answer.headers["ETag"]})
        assert known.status_code == 304
        for each in (answer, known):
            assert each.headers["Cache-Control"] == "private, no-cache"

    @pytest.mark.parametrize("path", ["clients/", "mailings/stats/", "clients/0/", "nothing/"])
    def test_everything_else_is_kept_by_nobody(self, api: APIClient, path: str) -> None:
        assert api.get(f"{API}{path}").headers["Cache-Control"] == "no-store"

    def test_the_schema_may_be_kept_by_anybody(self, api: APIClient) -> None:
        assert api.get(f"{API}schema/").headers["Cache-Control"] == "public, no-cache"


class TestPatience:
    @pytest.mark.parametrize(
        ("cause", "code"),
        [(None, "database_unavailable"), (postgres.DeadlockDetected(), "database_busy")],
    )
    def test_a_503_says_when_to_come_again(
        self, api: APIClient, cause: Exception | None, code: str
    ) -> None:
        def fail(*arguments: Any) -> Any:
            raise OperationalError("Not now.") from cause

        with connection.execute_wrapper(fail):
            answer = api.get(f"{API}clients/")

        assert refusal(answer) == (503, {None: code})
        assert int(answer.headers["Retry-After"]) >= 1

    def test_so_does_a_refusal_that_passes_by_itself(
        self, api: APIClient, make_message: Callable[..., Message], now: datetime
    ) -> None:
        message = make_message(lease_until=now + timedelta(minutes=1))
        answer = api.delete(f"{API}messages/{message.pk}/")
        assert refusal(answer) == (409, {None: "message_in_flight"})
        assert answer.headers["Retry-After"] == "60"

    def test_a_refusal_that_does_not_pass_says_nothing(
        self, api: APIClient, make_message: Callable[..., Message], now: datetime
    ) -> None:
        message = make_message(status="success", sent_at=now, next_attempt_at=None)
        answer = api.delete(f"{API}messages/{message.pk}/")
        assert refusal(answer) == (409, {None: "message_sent"})
        assert "Retry-After" not in answer.headers


class TestProblems:
    @pytest.mark.parametrize(
        "accept", [PROBLEM, f"application/json, {PROBLEM}", f"{PROBLEM};q=0.9, */*;q=0.1"]
    )
    def test_whoever_asks_for_problems_gets_them(self, api: APIClient, accept: str) -> None:
        body = {"phone_number": "1", "tag": 7}
        ours = api.post(f"{API}clients/", body).json()
        answer = api.post(f"{API}clients/", body, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["Content-Type"]) == (400, PROBLEM)
        problem = answer.json()
        assert (problem["type"], problem["title"], problem["status"]) == (
            *("about:blank", "Bad Request", 400),
        )
        assert (problem["kind"], problem["errors"]) == (ours["type"], ours["errors"])
        assert all(error["detail"] in problem["detail"] for error in ours["errors"])

    def test_what_is_no_error_is_json_as_ever(self, api: APIClient) -> None:
        answer = api.get(f"{API}clients/", headers={"Accept": PROBLEM})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")

    def test_without_being_asked_nobody_gets_them(self, api: APIClient) -> None:
        answer = api.get(f"{API}clients/0/", headers={"Accept": "*/*"})
        assert answer.headers["Content-Type"] == "application/json"

    def test_what_no_view_answers_is_one_too(self, api: APIClient, mistake: str) -> None:
        answer = api.get(mistake, headers={"Accept": PROBLEM})
        assert (answer.status_code, answer.headers["Content-Type"]) == (500, PROBLEM)


class TestOutsideOfViews:
    def test_a_mistake_of_ours_is_told_in_the_format_of_the_api(
        self, api: APIClient, mistake: str
    ) -> None:
        assert refusal(api.get(mistake)) == (500, {None: "error"})

    def test_another_host_is_refused_in_one_line(
        self, api: APIClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = api.get(f"{API}clients/", headers={"Host": "elsewhere.example"})
        assert refusal(answer) == (400, {None: "wrong_host"})
        (record,) = (each for each in caplog.records if each.name != "access")
        assert "elsewhere.example" in record.getMessage()
        assert record.exc_info is None

    def test_for_people_it_is_a_sentence(self, api: APIClient) -> None:
        answer = api.get("/admin/", headers={"Host": "elsewhere.example"})
        assert (answer.status_code, answer.headers["Content-Type"]) == (
            *(400, "text/plain; charset=utf-8"),
        )

    @pytest.mark.parametrize("path", ["docs/", "schema/", "clients/"])
    def test_allow_names_what_is_allowed(self, api: APIClient, path: str) -> None:
        answer = api.options(f"{API}{path}")
        allowed = api.delete(f"{API}{path}").headers["Allow"].split(", ")
        assert answer.status_code == (200 if "OPTIONS" in allowed else 405)


class TestCompression:
    def get(self, api: APIClient, path: str) -> Any:
        return api.get(path, headers={"Accept-Encoding": "gzip"})

    def test_a_long_answer_is_compressed_for_who_takes_that(
        self, api: APIClient, make_clients: Callable[..., list[Client]]
    ) -> None:
        make_clients(50)
        answer = self.get(api, f"{API}clients/")
        plain = api.get(f"{API}clients/")
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(answer.content) == plain.content
        assert len(answer.content) < len(plain.content) / 3
        assert "Content-Encoding" not in plain.headers
        assert "Accept-Encoding" in plain.headers["Vary"]

    def test_a_short_one_is_not(self, api: APIClient) -> None:
        assert "Content-Encoding" not in self.get(api, f"{API}clients/").headers

    def test_pages_with_secrets_are_not(self, api: APIClient) -> None:
        answer = self.get(api, "/admin/login/")
        assert len(answer.content) > 1400
        assert "Content-Encoding" not in answer.headers

    def test_its_tag_still_guards_a_change(
        self, api: APIClient, make_mailing: Callable[..., Any]
    ) -> None:
        mailing = make_mailing(text="Hello " * 300)
        path = f"{API}mailings/{mailing.pk}/"
        answer = self.get(api, path)
        assert answer.headers["ETag"].startswith("W/")
        headers = {"If-Match": answer.headers["ETag"]}
        assert api.patch(path, {"text": "New"}, headers=headers).status_code == 200
        assert api.patch(path, {"text": "Newer"}, headers=headers).status_code == 412


class TestOtherOrigins:
    shop = "https://shop.example"

    def preflight(self, api: APIClient, origin: str) -> Any:
        headers = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, idempotency-key, if-match",
        }
        return api.options(f"{API}clients/", headers=headers)

    def test_by_default_there_are_none(self, api: APIClient) -> None:
        asked = api.get(f"{API}clients/", headers={"Origin": self.shop})
        for answer in (asked, self.preflight(api, self.shop)):
            assert not [name for name in answer.headers if name.startswith("Access-Control")]

    def test_one_that_is_named_may_read_all_headers(
        self, api: APIClient, settings: Settings
    ) -> None:
        settings.CORS_ALLOWED_ORIGINS = [self.shop]
        answer = self.preflight(api, self.shop)
        assert answer.headers["Access-Control-Allow-Origin"] == self.shop
        assert "if-match" in answer.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
        for host in ("testserver", "elsewhere.example"):
            asked = api.get(f"{API}clients/", headers={"Origin": self.shop, "Host": host})
            exposed = asked.headers["Access-Control-Expose-Headers"].split(", ")
            assert {"ETag", "Location", "Retry-After", "X-Request-Id", "RateLimit"} <= {*exposed}

    def test_others_and_the_console_stay_closed(self, api: APIClient, settings: Settings) -> None:
        settings.CORS_ALLOWED_ORIGINS = [self.shop]
        foreign = self.preflight(api, "https://elsewhere.example")
        console = api.get("/admin/login/", headers={"Origin": self.shop})
        for answer in (foreign, console):
            assert "Access-Control-Allow-Origin" not in answer.headers
