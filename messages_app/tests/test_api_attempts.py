"""A message's log of attempts over REST, the reasons it tells, and what is known only later."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from mailings.models import Mailing
from messages_app.models import Attempt, ErrorCode, Message
from tests.rest import iso, refusal

MESSAGES = "/api/v1/messages/"
UNCONFIRMED = {"status": "fail", "next_attempt_at": None, "error_code": "unconfirmed"}

Make = Callable[..., Message]
MakeMailing = Callable[..., Mailing]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Return the document that is served."""
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    document: dict[str, Any] = generator.get_schema(public=True)  # type: ignore[no-untyped-call]
    return document


def log(message: Message, number: int, **fields: Any) -> Attempt:
    defaults = {"error_code": "throttled", "http_status": 429, "error": "HTTP 429: slower"}
    return Attempt.objects.create(message=message, number=number, **{**defaults, **fields})


def confirm(api: APIClient, message: Message) -> Any:
    return api.post(f"{MESSAGES}{message.pk}/confirm/")


class TestAttempts:
    def test_attempts_are_listed_in_order_with_when_how_long_and_what_came_of_them(
        self, api: APIClient, make_message: Make, now: datetime
    ) -> None:
        message = make_message(status="success", next_attempt_at=None, attempts=2)
        log(message, 2, began_at=now, seconds=0.5, error_code="", http_status=200, error="")
        log(message, 1)

        answer = api.get(f"{MESSAGES}{message.pk}/attempts/")

        assert answer.status_code == 200
        assert answer.json() == {
            **dict.fromkeys(("next", "previous", "next_cursor", "previous_cursor")),
            "results": [
                {
                    "number": 1,
                    "began_at": None,
                    "seconds": None,
                    "error_code": "throttled",
                    "http_status": 429,
                    "error": "HTTP 429: slower",
                    "is_unclear": False,
                },
                {
                    "number": 2,
                    "began_at": iso(now),
                    "seconds": 0.5,
                    "error_code": "",
                    "http_status": 200,
                    "error": "",
                    "is_unclear": False,
                },
            ],
        }

    def test_attempts_of_other_messages_are_left_out(
        self, api: APIClient, make_message: Make
    ) -> None:
        log(make_message(), 1)

        answer = api.get(f"{MESSAGES}{make_message().pk}/attempts/")

        assert answer.json()["results"] == []

    def test_attempts_come_in_pages_forth_and_back(
        self, api: APIClient, make_message: Make
    ) -> None:
        message = make_message(status="fail", attempts=300)
        for number in range(1, 301):
            log(message, number)

        seen, page = [], api.get(f"{MESSAGES}{message.pk}/attempts/").json()
        seen += [attempt["number"] for attempt in page["results"]]
        while page["next"]:
            page = api.get(page["next"]).json()
            seen += [attempt["number"] for attempt in page["results"]]
        before = api.get(page["previous"]).json()

        assert seen == list(range(1, 301))
        assert [attempt["number"] for attempt in before["results"]] == list(range(101, 201))

    @pytest.mark.parametrize(
        ("query", "name"), [("page_size=0", "page_size"), ("cursor=x", "cursor")]
    )
    def test_attempts_are_not_listed_by_a_page_that_is_none(
        self, api: APIClient, make_message: Make, query: str, name: str
    ) -> None:
        answer = api.get(f"{MESSAGES}{make_message().pk}/attempts/?{query}")

        status, reasons = refusal(answer)
        assert (status, list(reasons)) == (400, [name])

    def test_attempts_of_a_message_that_is_none_are_not_found(self, api: APIClient) -> None:
        assert refusal(api.get(f"{MESSAGES}1/attempts/")) == (404, {None: "not_found"})

    def test_cannot_be_written(self, api: APIClient, make_message: Make) -> None:
        path = f"{MESSAGES}{make_message().pk}/attempts/"

        assert refusal(api.post(path, {"number": 1})) == (405, {None: "method_not_allowed"})


class TestConfirming:
    def test_makes_an_unconfirmed_message_a_success_and_says_so_in_the_log(
        self, api: APIClient, make_message: Make
    ) -> None:
        message = make_message(**UNCONFIRMED, error="No answer came.", attempts=1)
        log(message, 1, error_code="unconfirmed", http_status=None)

        answer = confirm(api, message)

        message.refresh_from_db()
        assert message.sent_at
        assert answer.status_code == 200
        assert answer.json() == api.get(f"{MESSAGES}{message.pk}/").json()
        assert answer.json()["status"] == "success"
        assert answer.json()["sent_at"] == iso(message.sent_at)
        assert (answer.json()["error_code"], answer.json()["error"]) == ("", "")
        [attempt] = api.get(f"{MESSAGES}{message.pk}/attempts/").json()["results"]
        assert attempt["error_code"] == ""
        assert attempt["error"] == "It turned out later that it had arrived."

    def test_is_possible_when_the_mailing_is_over_and_its_counts_follow(
        self, api: APIClient, make_message: Make, make_mailing: MakeMailing
    ) -> None:
        mailing = make_mailing(status="finished", success_count=4, fail_count=2)
        message = make_message(**UNCONFIRMED, mailing=mailing, attempts=1)

        assert confirm(api, message).status_code == 200

        mailing.refresh_from_db()
        assert (mailing.success_count, mailing.fail_count) == (5, 1)

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({}, "message_not_unconfirmed"),
            ({**UNCONFIRMED, "error_code": "rejected"}, "message_not_unconfirmed"),
            ({"status": "success", "next_attempt_at": None}, "message_sent"),
        ],
    )
    def test_is_refused_of_a_message_about_which_there_is_no_doubt(
        self, api: APIClient, make_message: Make, fields: dict[str, Any], code: str
    ) -> None:
        message = make_message(**fields)

        assert refusal(confirm(api, message)) == (409, {None: code})
        unchanged = Message.objects.get()
        assert (unchanged.status, unchanged.sent_at) == (message.status, None)

    def test_is_refused_while_the_message_is_on_its_way_again(
        self, api: APIClient, make_message: Make, now: datetime
    ) -> None:
        until = now + timedelta(minutes=1)
        message = make_message(**UNCONFIRMED, lease_token=-1, lease_until=until)

        assert refusal(confirm(api, message)) == (409, {None: "message_in_flight"})


class TestReasons:
    def test_reasons_are_one_documented_vocabulary_of_messages_and_attempts(
        self, document: dict[str, Any]
    ) -> None:
        schemas = document["components"]["schemas"]
        reasons = schemas["MessageErrorCodeEnum"]

        assert set(reasons["enum"]) == set(ErrorCode.values)
        for name in ("Message", "Attempt"):
            field = schemas[name]["properties"]["error_code"]
            assert {"$ref": "#/components/schemas/MessageErrorCodeEnum"} in field["oneOf"]
        for code in ErrorCode:
            assert f"`{code}` - {code.label}" in reasons["description"]

    @pytest.mark.parametrize("path", ["", "stats/"])
    def test_reasons_are_listed_with_the_filter(self, document: dict[str, Any], path: str) -> None:
        parameters = document["paths"][f"{MESSAGES}{path}"]["get"]["parameters"]
        [filter_] = [each for each in parameters if each["name"] == "error_code"]

        assert set(filter_["schema"]["items"]["enum"]) == set(ErrorCode.values)

    def test_reasons_that_are_none_are_refused_by_naming_those_that_there_are(
        self, api: APIClient
    ) -> None:
        answer = api.get(f"{MESSAGES}?error_code=timeout")

        assert refusal(answer) == (400, {"error_code": "invalid_choice"})
        for code in ErrorCode.values:
            assert code in answer.json()["errors"][0]["detail"]

    @pytest.mark.parametrize("code", ErrorCode.values)
    def test_select_messages(self, api: APIClient, make_message: Make, code: str) -> None:
        message = make_message(status="fail", error_code=code)
        make_message()

        found = api.get(f"{MESSAGES}?error_code={code}").json()["results"]

        assert [(each["id"], each["error_code"]) for each in found] == [(message.pk, code)]

    def test_say_what_each_status_means(self, document: dict[str, Any]) -> None:
        status = document["components"]["schemas"]["Message"]["properties"]["status"]

        for word in ("pending", "success", "fail"):
            assert f"`{word}`:" in status["description"]
