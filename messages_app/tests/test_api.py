"""Messages over REST: adding, moving and withdrawing them."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from clients.models import Client
from mailings import preparing
from mailings.models import Mailing
from messages_app import services
from messages_app.models import Message
from tests.rest import iso, refusal

MESSAGES = "/api/v1/messages/"
HOUR = timedelta(hours=1)
NOTHING = (None, "")
NO_IDS: tuple[Any, ...] = (True, 1.0, 1.5, 1e300, "1", "x", [], [1], {})

Make = Callable[..., Message]
MakeMailing = Callable[..., Mailing]
MakeClients = Callable[..., list[Client]]


def test_a_message_has_exactly_the_documented_fields(
    api: APIClient, make_mailing: MakeMailing, make_clients: MakeClients
) -> None:
    payload = {"mailing": make_mailing().pk, "client": make_clients(1)[0].pk}

    answer = api.post(MESSAGES, payload)

    message = Message.objects.get()
    assert message.next_attempt_at
    assert answer.status_code == 201
    assert answer.json() == {
        "id": message.pk,
        "sender_id": str(message.sender_id),
        **payload,
        "status": "pending",
        "created_at": iso(message.created_at),
        "sent_at": None,
        "attempts": 0,
        "next_attempt_at": iso(message.next_attempt_at),
        "error_code": "",
        "error": "",
        "text_version": None,
        "phone_number": Client.objects.get().phone_number,
        "is_manual": True,
    }
    assert api.get(f"{MESSAGES}{message.pk}/").json() == answer.json()


def test_a_client_added_by_hand_gets_the_message_whatever_the_filters_say(
    api: APIClient, make_mailing: MakeMailing, make_clients: MakeClients, now: datetime
) -> None:
    mailing = make_mailing(filters={"tag": "vip"}, status="scheduled", start_time=now + HOUR / 2)
    (client,) = make_clients(1)

    api.post(MESSAGES, {"mailing": mailing.pk, "client": client.pk})

    message = Message.objects.get()
    assert message.is_manual
    assert message.phone_number == client.phone_number
    assert message.next_attempt_at
    assert message.next_attempt_at < mailing.start_time


def test_a_status_is_never_set_from_outside(
    api: APIClient, make_mailing: MakeMailing, make_clients: MakeClients, make_message: Make
) -> None:
    payload = {"status": "success", "attempts": 5, "error": "x", "sent_at": "2030-01-01T00:00:00Z"}
    addressed = {"mailing": make_mailing().pk, "client": make_clients(1)[0].pk}
    message = make_message()

    created = api.post(MESSAGES, {**addressed, **payload})
    patched = api.patch(f"{MESSAGES}{message.pk}/", payload)

    for answer in (created, patched):
        assert refusal(answer) == (400, dict.fromkeys(payload, "read_only"))
    assert Message.objects.get() == message


def test_a_client_has_one_message_of_a_mailing(api: APIClient, make_message: Make) -> None:
    message = make_message()
    payload = {"mailing": message.mailing_id, "client": message.client_id}

    assert refusal(api.post(MESSAGES, payload)) == (400, {"non_field_errors": "unique"})


@pytest.mark.parametrize("field", ["mailing", "client"])
@pytest.mark.parametrize(
    ("junk", "code"),
    [
        *((junk, "null") for junk in NOTHING),
        *((junk, "incorrect_type") for junk in NO_IDS),
        *((pk, "does_not_exist") for pk in (0, -1, 2**63, -(2**63), 10**30, -(10**30))),
    ],
)
def test_an_id_is_the_whole_number_of_something_that_exists(
    api: APIClient,
    make_mailing: MakeMailing,
    make_clients: MakeClients,
    field: str,
    junk: Any,
    code: str,
) -> None:
    payload = {"mailing": make_mailing().pk, "client": make_clients(1)[0].pk, field: junk}

    assert refusal(api.post(MESSAGES, payload)) == (400, {field: code})
    assert not Message.objects.exists()


def test_a_message_that_stays_where_it_is_stays_as_it_is(
    api: APIClient, make_message: Make
) -> None:
    message = make_message(status="success", next_attempt_at=None, attempts=1)
    before = api.get(f"{MESSAGES}{message.pk}/").json()

    assert api.patch(f"{MESSAGES}{message.pk}/", {}).json() == before
    assert api.put(f"{MESSAGES}{message.pk}/", before).json() == before


def test_a_message_whose_client_was_deleted_needs_another_to_be_moved(
    api: APIClient, make_message: Make, make_mailing: MakeMailing, make_clients: MakeClients
) -> None:
    path = f"{MESSAGES}{make_message(client=None).pk}/"
    payload = {"mailing": make_mailing().pk}

    assert refusal(api.patch(path, payload)) == (400, {"client": "required"})
    assert api.patch(path, {**payload, "client": make_clients(1)[0].pk}).status_code == 200


def test_a_message_cannot_be_moved_to_a_client_who_has_one_of_the_mailing(
    api: APIClient, make_message: Make
) -> None:
    first = make_message()
    second = make_message(mailing=first.mailing)

    answer = api.patch(f"{MESSAGES}{second.pk}/", {"client": first.client_id})

    assert refusal(answer) == (400, {"non_field_errors": "unique"})


def test_a_withdrawn_message_is_not_planned_again_until_its_client_is_added_by_hand(
    api: APIClient, make_message: Make, now: datetime
) -> None:
    message = make_message()
    payload = {"mailing": message.mailing_id, "client": message.client_id}

    assert api.delete(f"{MESSAGES}{message.pk}/").status_code == 204
    preparing.plan_chunk(message.mailing_id, now=now)
    assert not Message.objects.exists()

    assert api.post(MESSAGES, payload).status_code == 201


def test_the_client_a_message_was_moved_from_is_not_planned_again(
    api: APIClient, make_message: Make, make_clients: MakeClients, now: datetime
) -> None:
    message = make_message()

    api.patch(f"{MESSAGES}{message.pk}/", {"client": make_clients(1)[0].pk})
    preparing.plan_chunk(message.mailing_id, now=now)

    assert message.client_id not in Message.objects.values_list("client", flat=True)


def test_a_mailing_deleted_by_somebody_else_meanwhile_is_a_conflict(
    api: APIClient,
    make_mailing: MakeMailing,
    make_clients: MakeClients,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    payload = {"mailing": make_mailing().pk, "client": make_clients(1)[0].pk}
    add = services.add_message

    def add_late(**fields: Any) -> Message:
        Mailing.objects.all().delete()
        return add(**fields)

    monkeypatch.setattr(services, "add_message", add_late)

    assert refusal(api.post(MESSAGES, payload)) == (409, {None: "conflict"})
