"""Erasing a client: nothing that is kept tells who it was, and everything still adds up."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from clients.models import Client
from mailings.audit import audit
from mailings.models import Mailing
from messages_app.models import Attempt, Message
from messages_app.sender_ids import sender_id, stand_in
from messages_app.tests.scenes import accept, claim, deliver, open_books
from messages_app.tests.scripted import Script, ScriptedTransport
from tests.rest import refusal
from toolkit.history.models import Entry

NUMBER = "79995557531"
Make = Callable[..., Message]

pytestmark = pytest.mark.django_db


@pytest.fixture
def client_of_all(make_clients: Callable[..., list[Client]]) -> Client:
    return make_clients(1, phone_number=NUMBER)[0]


def erase(api: APIClient, client: Client) -> Any:
    return api.post(f"/api/v1/clients/{client.pk}/erase/")


def places_of(text: str) -> list[str]:
    """Return the columns of the whole database that have a text in them."""
    found = []
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.concrete_fields:
            for value in model._base_manager.values_list(field.name, flat=True):
                content = bytes(value) if isinstance(value, memoryview | bytes) else str(value)
                if text in content if isinstance(content, str) else text.encode() in content:
                    found.append(f"{model._meta.label}.{field.name}")
    return found


def make_traces(api: APIClient, admin_user: User) -> Client:
    """Have a client's number in every place that may keep one."""
    body = {"phone_number": NUMBER, "tag": "vip"}
    made = api.post("/api/v1/clients/", body, headers={"Idempotency-Key": "one"})
    client = Client.objects.get(pk=made.json()["id"])
    api.patch(f"/api/v1/clients/{client.pk}/", {"tag": "new"})
    LogEntry.objects.log_actions(admin_user.pk, [client], 1, f"Added {client}", single_object=True)
    return client


class TestErasing:
    def test_leaves_the_number_nowhere_in_the_database(
        self, api: APIClient, admin_user: User, make_message: Make, now: datetime
    ) -> None:
        client = make_traces(api, admin_user)
        told: dict[str, Any] = {
            "error": f"no such number {NUMBER}",
            "error_code": "rejected",
            "attempts": 1,
        }
        sent = make_message(client=client, status="fail", next_attempt_at=None, **told)
        Attempt.objects.create(message=sent, number=1, error=told["error"], error_code="rejected")
        make_message(client=None, phone_number=NUMBER, status="fail", error_code="rejected")
        assert len(set(places_of(NUMBER))) >= 7

        answer = erase(api, client)

        assert answer.status_code == 204, answer.content
        assert places_of(NUMBER) == []

    def test_keeps_what_was_sent_with_the_sender_s_id_and_all_counts(
        self, api: APIClient, make_message: Make, client_of_all: Client, now: datetime
    ) -> None:
        mailing = make_message(client=client_of_all, phone_number=NUMBER).mailing
        (claimed,) = claim(mailing, now)
        accept([claimed.id], at=now)
        message = Message.objects.get()
        known = message.sender_id
        assert known == sender_id(mailing.sender_key, message_id=message.pk, phone_number=NUMBER)

        erase(api, client_of_all)

        shown = api.get(f"/api/v1/messages/{message.pk}/").json()
        assert (shown["status"], shown["phone_number"], shown["client"]) == ("success", "", None)
        assert shown["sender_id"] == str(known)
        stats = api.get(f"/api/v1/mailings/{mailing.pk}/stats/").json()["stats"]
        assert stats == {"pending": 0, "success": 1, "fail": 0, "total": 1}
        assert [each.name for each in audit().findings if not each.is_good] == []

    def test_withdraws_what_was_never_tried_and_tries_nothing_again(
        self,
        api: APIClient,
        make_message: Make,
        client_of_all: Client,
        scripted: Callable[[int, Script], ScriptedTransport],
        now: datetime,
    ) -> None:
        planned = make_message(client=client_of_all)
        tried = {"status": "fail", "attempts": 1, "error_code": "unavailable", "error": "503"}
        retried = make_message(client=client_of_all, queued_at=now, **tried)
        unclear = make_message(client=client_of_all, queued_at=now, **tried)
        for each, doubt in ((retried, False), (unclear, True)):
            Attempt.objects.create(
                message=each, number=1, error_code="unavailable", error="503", is_unclear=doubt
            )
        open_books()

        assert erase(api, client_of_all).status_code == 204

        assert not Message.objects.filter(pk=planned.pk).exists()
        kept = dict(Message.objects.values_list("pk", "error_code"))
        assert kept == {retried.pk: "unavailable", unclear.pk: "unconfirmed"}
        assert not Message.objects.unfinished().exists()
        assert [each.name for each in audit().findings if not each.is_good] == []
        transport = scripted(5, lambda transport: transport.answer())
        for mailing in Mailing.objects.all():
            assert deliver(mailing.pk) == 0
        assert transport.sent == []

    def test_waits_for_what_is_on_its_way(
        self, api: APIClient, make_message: Make, client_of_all: Client, now: datetime
    ) -> None:
        message = make_message(client=client_of_all)
        claim(message.mailing, now)
        last = Entry.objects.count()

        answer = erase(api, client_of_all)

        assert refusal(answer) == (409, {None: "client_in_flight"})
        assert int(answer.headers["Retry-After"]) > 0
        assert Client.objects.get() == client_of_all
        assert Entry.objects.count() == last

    def test_is_told_in_history_without_the_number(
        self, api: APIClient, client_of_all: Client, operator: User
    ) -> None:
        erase(api, client_of_all)

        entry = Entry.objects.latest("pk")
        assert (entry.object, entry.deed) == (f"clients/{client_of_all.pk}", "erased")
        assert entry.username == operator.username
        assert entry.details == {"messages": 0}

    def test_leaves_others_as_they_are(
        self, api: APIClient, make_message: Make, client_of_all: Client
    ) -> None:
        other = make_message(phone_number="79990000000")
        before = Message.objects.values().get(pk=other.pk)

        erase(api, client_of_all)

        assert Message.objects.values().get(pk=other.pk) == before
        assert Client.objects.get() == other.client

    def test_repeats_an_answer_that_was_given_before_without_the_number(
        self, api: APIClient, admin_user: User
    ) -> None:
        client = make_traces(api, admin_user)
        erase(api, client)

        body = {"phone_number": NUMBER, "tag": "vip"}
        again = api.post("/api/v1/clients/", body, headers={"Idempotency-Key": "one"})

        assert (again.status_code, again.json()["phone_number"]) == (201, "")
        assert not Client.objects.exists()

    def test_a_client_that_is_erased_is_gone(self, api: APIClient, client_of_all: Client) -> None:
        erase(api, client_of_all)

        assert erase(api, client_of_all).status_code == 404


@pytest.mark.parametrize("known", [0, 7, 2**63 - 1])
def test_a_stand_in_tells_the_sender_s_id_and_looks_like_no_number(known: int) -> None:
    text = stand_in(known)

    assert len(text) <= (Message._meta.get_field("phone_number").max_length or 0)
    assert not any(character.isdigit() for character in text)
    assert sender_id(12345, message_id=1, phone_number=text) == known
    assert sender_id(None, message_id=1, phone_number=text) == known


class TestExport:
    def test_tells_everything_about_a_client(
        self, api: APIClient, make_message: Make, admin_user: User
    ) -> None:
        client = make_traces(api, admin_user)
        message = make_message(client=client, status="fail", error_code="rejected", attempts=1)
        Attempt.objects.create(message=message, number=1, error="No", error_code="rejected")
        make_message()

        told = api.get(f"/api/v1/clients/{client.pk}/export/").json()

        assert told["client"] == api.get(f"/api/v1/clients/{client.pk}/").json()
        (shown,) = told["messages"]
        (attempt,) = shown.pop("attempts_log")
        assert shown == api.get(f"/api/v1/messages/{message.pk}/").json()
        assert (attempt["number"], attempt["error"]) == (1, "No")
        assert [each["deed"] for each in told["history"]] == ["changed", "created"]

    def test_asks_as_many_questions_for_ten_messages_as_for_one(
        self,
        api: APIClient,
        make_message: Make,
        client_of_all: Client,
        django_assert_num_queries: Any,
    ) -> None:
        for _ in range(10):
            make_message(client=client_of_all)
        with django_assert_num_queries(4):  # client, messages with mailings, attempts, history
            api.get(f"/api/v1/clients/{client_of_all.pk}/export/")
