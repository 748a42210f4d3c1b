"""A test message over REST: sent at once, counted nowhere, held back by what holds all back."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import BoundedSemaphore
from time import monotonic
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings
from rest_framework.test import APIClient

from mailings.models import Mailing
from messages_app import sender as engine
from messages_app.models import Attempt, Message, Posting, SendingControl
from messages_app.sender import Answer
from messages_app.sending import trial
from messages_app.tests.scripted import ScriptedTransport
from tests.rest import refusal
from tests.sandbox import Sandbox
from toolkit.rest.idempotency.models import GivenAnswer

MakeMailing = Callable[..., Mailing]
NUMBER = {"phone_number": "+7 999 123-45-67"}
HOUR = timedelta(hours=1)


def ask(api: APIClient, mailing: Mailing, key: str = "", **body: object) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    path = f"/api/v1/mailings/{mailing.pk}/test/"
    return api.post(path, body or NUMBER, headers=headers)


@pytest.mark.parametrize("status", ["draft", "running", "finished"])
def test_a_test_message_is_sent_and_counts_nowhere(
    status: str,
    api: APIClient,
    make_mailing: MakeMailing,
    sender: Sandbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mailing = make_mailing(status=status, text='Hello "you", привет 👋')
    before = SendingControl.objects.values().get()

    with caplog.at_level(logging.INFO):
        answer = ask(api, mailing)

    assert answer.status_code == 200
    shown = answer.json()
    seconds, sender_id = shown.pop("seconds"), shown.pop("sender_id")
    assert shown == {"outcome": "accepted", "http_status": 200, "error_code": "", "error": ""}
    assert 0 < seconds < 10
    assert -(2**63) <= int(sender_id) < 0  # which that of a message never is
    (received,) = sender.inbox()
    assert (str(received["id"]), str(received["phone"])) == (sender_id, "79991234567")
    assert received["text"] == mailing.text
    for model in (Message, Attempt, Posting):
        assert not model.objects.exists()
    assert SendingControl.objects.values().get() == before
    (line,) = [each.getMessage() for each in caplog.records if "test message" in each.getMessage()]
    assert "***67" in line
    assert "999123" not in line


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ({"bad_request": 1}, ("rejected", 400, "rejected")),
        ({"unavailable": 1}, ("failed", 503, "unavailable")),
        ({"garbage": 1}, ("unclear", 200, "bad_response")),
        ({"reset_before": 1}, ("unclear", None, "unconfirmed")),
    ],
)
def test_what_the_sender_says_is_told(
    faults: dict[str, object],
    expected: tuple[Any, ...],
    api: APIClient,
    make_mailing: MakeMailing,
    sender: Sandbox,
) -> None:
    sender.set_faults(**faults)

    for _ in range(25):  # More than what opens the breaker for messages.
        shown = ask(api, make_mailing()).json()

        assert (shown["outcome"], shown["http_status"], shown["error_code"]) == expected
        assert shown["error"]
    control = SendingControl.objects.get()
    assert (control.failures, control.rejections, control.opened_at) == (0, 0, None)


def test_a_sender_that_hangs_is_not_waited_for_longer_than_its_timeout(
    api: APIClient, make_mailing: MakeMailing, sender: Sandbox, settings: Settings
) -> None:
    settings.MESSAGE_SENDER_TIMEOUT = 0.5
    sender.set_faults(latency=60)
    began_at = monotonic()

    shown = ask(api, make_mailing()).json()

    assert (shown["outcome"], shown["error_code"]) == ("unclear", "unconfirmed")
    assert 0.5 <= monotonic() - began_at < 8


@pytest.mark.parametrize(
    ("column", "code"),
    [
        ("is_paused", "sending_paused"),
        ("held_until", "sending_held"),
        ("opened_at", "breaker_open"),
        ("next_slot_at", "rate_used_up"),
    ],
)
def test_what_holds_messages_back_holds_a_test_back(
    column: str,
    code: str,
    api: APIClient,
    make_mailing: MakeMailing,
    sender: Sandbox,
    now: datetime,
) -> None:
    value = True if column == "is_paused" else now + HOUR
    SendingControl.objects.update(**{column: value, "rate": 1})

    assert refusal(ask(api, make_mailing())) == (409, {None: code})
    assert sender.sends() == 0


def test_a_test_takes_its_place_in_the_rate(
    api: APIClient, make_mailing: MakeMailing, sender: Sandbox, now: datetime
) -> None:
    SendingControl.objects.update(rate=0.01)

    assert ask(api, make_mailing()).json()["outcome"] == "accepted"
    assert refusal(ask(api, make_mailing())) == (409, {None: "rate_used_up"})
    assert sender.sends() == 1


def test_only_some_tests_are_under_way_at_once(
    api: APIClient, make_mailing: MakeMailing, sender: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_room", BoundedSemaphore(1))
    for _ in range(2):  # Room is given back.
        assert ask(api, make_mailing()).status_code == 200
    trial._room.acquire()

    assert refusal(ask(api, make_mailing())) == (409, {None: "test_under_way"})


def test_without_a_token_it_is_said_what_is_missing(
    api: APIClient, make_mailing: MakeMailing
) -> None:
    assert refusal(ask(api, make_mailing())) == (409, {None: "sender_not_configured"})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"phone_number": "12"}, {"phone_number": "invalid_phone_number"}),
        ({"phone_number": 79991234567}, {"phone_number": "invalid"}),
        ({"phone": "79991234567"}, {"phone_number": "required"}),
    ],
)
def test_the_number_must_be_one(
    body: dict[str, Any], reason: dict[str, str], api: APIClient, make_mailing: MakeMailing
) -> None:
    assert refusal(ask(api, make_mailing(), **body)) == (400, reason)


def test_of_a_mailing_that_is_not_there_nothing_is_sent(
    api: APIClient, make_mailing: MakeMailing
) -> None:
    mailing = make_mailing()
    path = f"/api/v1/mailings/{mailing.pk}/test/"

    assert api.post(f"/api/v1/mailings/{mailing.pk + 1}/test/", NUMBER).status_code == 404
    assert api.post(path, NUMBER, headers={"If-Match": '"another"'}).status_code == 412


def test_a_repeated_request_sends_nothing_again(
    api: APIClient, make_mailing: MakeMailing, sender: Sandbox
) -> None:
    mailing = make_mailing()

    first, second = ask(api, mailing, "a"), ask(api, mailing, "a")

    assert second.content == first.content
    assert second["Idempotent-Replayed"] == "true"
    other = ask(api, mailing, "a", phone_number="79990000000")
    assert refusal(other) == (422, {None: "idempotency_key_reused"})
    assert sender.sends() == 1
    assert ask(api, mailing, "b").status_code == 200
    assert sender.sends() == 2


def test_a_refusal_comes_again_too(
    api: APIClient, make_mailing: MakeMailing, sender: Sandbox
) -> None:
    mailing = make_mailing()
    SendingControl.objects.update(is_paused=True)
    refused = ask(api, mailing, "a")
    SendingControl.objects.update(is_paused=False)

    assert refusal(ask(api, mailing, "a")) == refusal(refused) == (409, {None: "sending_paused"})


def test_while_the_first_request_is_not_answered_nothing_is_sent_again(
    api: APIClient, make_mailing: MakeMailing, sender: Sandbox
) -> None:
    """Its process may have been killed after the sender took the message."""
    mailing = make_mailing()
    ask(api, mailing, "a")
    GivenAnswer.objects.update(status=0, body=b"")

    assert refusal(ask(api, mailing, "a")) == (409, {None: "outcome_unknown"})
    assert sender.sends() == 1


def test_our_own_failure_is_not_kept(
    api: APIClient, make_mailing: MakeMailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError

    mailing = make_mailing()
    monkeypatch.setattr(engine, "transport_of_one", fail)
    api.raise_request_exception = False

    assert ask(api, mailing, "a").status_code == 500
    assert not GivenAnswer.objects.exists()


@pytest.mark.parametrize("key", ["", "a"])
@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_sender_is_waited_for(
    key: str, api: APIClient, make_mailing: MakeMailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold a lock for seconds, on SQLite that of all writers."""
    were_open: list[bool] = []

    def look(transport: ScriptedTransport) -> Sequence[Answer]:
        were_open.append(connection.in_atomic_block)
        return transport.answer()

    monkeypatch.setattr(engine, "transport_of_one", lambda: ScriptedTransport(1, look))

    assert ask(api, make_mailing(), key).json()["outcome"] == "accepted"
    assert were_open == [False]
