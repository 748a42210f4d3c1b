"""Messages over REST: when something can be done with one, and when not."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from clients.models import Client
from mailings.models import Mailing
from messages_app.models import Message
from tests.rest import refusal

MESSAGES = "/api/v1/messages/"
HOUR = timedelta(hours=1)

Make = Callable[..., Message]
MakeMailing = Callable[..., Mailing]
MakeClients = Callable[..., list[Client]]


@pytest.fixture
def in_flight(now: datetime) -> dict[str, Any]:
    """Return what a message has that is on its way to the sender."""
    return {"lease_token": -1, "lease_until": now + HOUR, "attempts": 1}


def do(api: APIClient, deed: str, message: Message, make_clients: MakeClients) -> Any:
    path = f"{MESSAGES}{message.pk}/"
    if deed == "move":
        return api.patch(path, {"client": make_clients(1)[0].pk})
    return api.delete(path) if deed == "withdraw" else api.post(f"{path}resend/")


@pytest.mark.parametrize("status", ["finished", "cancelled", "past its stop"])
@pytest.mark.parametrize("deed", ["create", "replace", "move", "withdraw", "resend"])
def test_nothing_is_done_to_the_messages_of_a_mailing_that_is_over(
    api: APIClient,
    make_mailing: MakeMailing,
    make_clients: MakeClients,
    make_message: Make,
    now: datetime,
    status: str,
    deed: str,
) -> None:
    over = {"stop_time": now} if status == "past its stop" else {"status": status}
    mailing = make_mailing(**over)
    message = make_message(mailing=mailing, status="fail")
    payload = {"mailing": mailing.pk, "client": make_clients(1)[0].pk}
    path = f"{MESSAGES}{message.pk}/"
    deeds: dict[str, Callable[[], Any]] = {
        "create": lambda: api.post(MESSAGES, payload),
        "replace": lambda: api.put(path, payload),
        "move": lambda: api.patch(path, {"mailing": make_mailing().pk}),
        "withdraw": lambda: api.delete(path),
        "resend": lambda: api.post(f"{path}resend/"),
    }

    assert refusal(deeds[deed]()) == (409, {None: "mailing_over"})
    assert Message.objects.get() == message


@pytest.mark.parametrize("method", ["put", "patch"])
def test_a_message_that_was_never_tried_can_go_to_another_client(
    api: APIClient, make_message: Make, make_clients: MakeClients, method: str
) -> None:
    message = make_message()
    (client,) = make_clients(1)
    payload = {"mailing": message.mailing_id, "client": client.pk}

    answer = getattr(api, method)(f"{MESSAGES}{message.pk}/", payload)

    assert answer.status_code == 200
    assert {**answer.json(), **payload} == answer.json()
    message.refresh_from_db()
    assert message.phone_number == client.phone_number


@pytest.mark.parametrize("deed", ["move", "withdraw", "resend"])
def test_nothing_is_done_to_a_message_that_was_sent(
    api: APIClient, make_message: Make, make_clients: MakeClients, deed: str
) -> None:
    message = make_message(status="success", next_attempt_at=None, attempts=1)

    assert refusal(do(api, deed, message, make_clients)) == (409, {None: "message_sent"})
    assert Message.objects.get() == message


@pytest.mark.parametrize("deed", ["move", "withdraw", "resend"])
def test_nothing_is_done_to_a_message_on_its_way_to_the_sender(
    api: APIClient,
    make_message: Make,
    make_clients: MakeClients,
    in_flight: dict[str, Any],
    deed: str,
) -> None:
    message = make_message(**in_flight)

    assert refusal(do(api, deed, message, make_clients)) == (409, {None: "message_in_flight"})
    assert Message.objects.get() == message


def test_a_message_that_was_tried_stays_with_its_client(
    api: APIClient, make_message: Make, make_clients: MakeClients
) -> None:
    message = make_message(status="fail", attempts=1)

    answer = do(api, "move", message, make_clients)

    assert refusal(answer) == (409, {None: "message_already_tried"})


def test_a_failed_message_is_due_at_once_when_it_is_resent(
    api: APIClient, make_message: Make, now: datetime
) -> None:
    message = make_message(status="fail", next_attempt_at=None, attempts=3, error_code="rejected")

    answer = api.post(f"{MESSAGES}{message.pk}/resend/")

    assert answer.status_code == 200
    message.refresh_from_db()
    assert message in Message.objects.due(message.next_attempt_at or now)
    assert answer.json() == api.get(f"{MESSAGES}{message.pk}/").json()


def test_a_message_that_did_not_fail_cannot_be_resent(api: APIClient, make_message: Make) -> None:
    answer = api.post(f"{MESSAGES}{make_message().pk}/resend/")

    assert refusal(answer) == (409, {None: "message_not_failed"})


@pytest.mark.parametrize("status", ["scheduled", "paused"])
def test_a_message_is_resent_only_while_its_mailing_runs(
    api: APIClient, make_message: Make, make_mailing: MakeMailing, status: str
) -> None:
    message = make_message(mailing=make_mailing(status=status), status="fail")

    answer = api.post(f"{MESSAGES}{message.pk}/resend/")

    assert refusal(answer) == (409, {None: "mailing_not_running"})
