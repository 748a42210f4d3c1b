"""Webhooks over REST: what is stored, what is shown once, what is refused."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient
from standardwebhooks.webhooks import Webhook as Verifier

from messages_app.models import Message
from tests.rest import iso, refusal
from toolkit.outbox.models import Event
from webhooks import relaying
from webhooks.delivering import deliver
from webhooks.models import Delivery, EventName, Webhook
from webhooks.relaying import relay
from webhooks.tests.receiver import Receiver

WEBHOOKS = "/api/v1/webhooks/"
URL = "https://crm.example.com/events"


def add(api: APIClient, **fields: Any) -> Any:
    return api.post(WEBHOOKS, {"url": URL, "events": ["mailing.finished"], **fields})


def added(api: APIClient, **fields: Any) -> str:
    """Add a webhook; return its address."""
    return f"{WEBHOOKS}{add(api, **fields).json()['id']}/"


def test_a_webhook_has_exactly_the_documented_fields_and_its_secret_once(api: APIClient) -> None:
    answer = add(api)

    webhook = Webhook.objects.get()
    shown = answer.json()
    secret = shown.pop("secret")
    assert answer.status_code == 201
    assert shown == {
        "id": webhook.pk,
        "url": URL,
        "events": ["mailing.finished"],
        "is_active": True,
        "created_at": iso(webhook.created_at),
        "updated_at": iso(webhook.updated_at),
        "failing_since": None,
        "disabled_at": None,
        "disabled_reason": "",
        "former_secret_until": None,
    }
    address = f"{WEBHOOKS}{webhook.pk}/"
    assert api.get(address).json() == shown
    assert api.get(address)["ETag"] == answer["ETag"]
    assert api.get(WEBHOOKS).json()["results"] == [shown]
    assert secret.startswith("whsec_")
    Verifier(secret)


def test_no_secret_is_readable_in_the_database_or_the_log(
    api: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address = added(api)
    secret = api.post(f"{address}rotate/").json()["secret"]

    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM webhooks_webhook")
        assert secret.removeprefix("whsec_") not in str(cursor.fetchall())
    assert secret not in caplog.text.replace("%2B", "+")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"url": "no url"}, {"url": "invalid_url"}),
        ({"url": 7}, {"url": "invalid"}),
        ({"url": ""}, {"url": "blank"}),
        ({"url": "https://example.com/" + "x" * 1000}, {"url": "max_length"}),
        ({"events": []}, {"events": "empty"}),
        ({"events": "mailing.finished"}, {"events": "not_a_list"}),
        ({"events": ["mailing.eaten"]}, {"events.0": "invalid_choice"}),
        ({"events": ["webhook.test"]}, {"events.0": "invalid_choice"}),
        ({"events": ["sender.held", "sender.held"]}, {"events": "invalid"}),
        ({"is_active": 1}, {"is_active": "invalid"}),
        ({"secret": "whsec_own"}, {"secret": "unknown_field"}),
        ({"position": "0.0.0.0"}, {"position": "unknown_field"}),
        ({"disabled_reason": "x", "name": "y"}, {"name": "unknown_field"}),
    ],
)
def test_what_is_wrong_is_refused(
    api: APIClient, fields: dict[str, Any], code: dict[str, str]
) -> None:
    assert refusal(add(api, **fields)) == (400, code)
    assert not Webhook.objects.exists()


def test_a_private_address_is_refused_by_default(api: APIClient, settings: Any) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = False

    assert refusal(add(api, url="https://127.0.0.1/")) == (400, {"url": "private_address"})
    assert refusal(add(api, url="http://8.8.8.8/")) == (400, {"url": "insecure_url"})


def test_there_are_fifty_at_most(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhooks.services.MOST_WEBHOOKS", 1)
    address = added(api)
    assert refusal(add(api)) == (409, {None: "too_many_webhooks"})

    api.delete(address)
    assert add(api).status_code == 201


def test_it_can_be_changed_and_switched_off(api: APIClient) -> None:
    address = added(api)
    changed = api.patch(address, {"events": ["sender.held"], "is_active": False})

    assert changed.status_code == 200
    webhook = Webhook.objects.get()
    assert (webhook.url, webhook.events, webhook.is_active) == (URL, ["sender.held"], False)
    whole = {"url": f"{URL}/2", "events": EventName.values, "is_active": True}
    assert api.put(address, whole).json().items() >= whole.items()


def test_a_switched_off_one_gets_nothing(api: APIClient, receiver: Receiver) -> None:
    address = added(api, url=receiver.url, events=["sender.held"], is_active=False)
    Event.objects.record("sender.held", [{}])
    relay(now=timezone.now())
    deliver(Webhook.objects.get().pk)

    assert not receiver.received
    assert refusal(api.post(f"{address}test/")) == (409, {None: "webhook_inactive"})


def test_who_asks_for_changes_later_is_told_those_from_then_on(
    api: APIClient, receiver: Receiver, make_message: Callable[..., Message]
) -> None:
    address = added(api, url=receiver.url)
    make_message()
    api.patch(address, {"events": ["messages.changed"]})
    message = make_message()

    deliver(Webhook.objects.get().pk)

    assert [change["message"] for change in receiver.changes] == [message.pk]


def test_changes_are_told_as_the_feed_tells_them(
    api: APIClient, receiver: Receiver, make_message: Callable[..., Message]
) -> None:
    added(api, url=receiver.url, events=["messages.changed"])
    make_message()
    make_message(status="success", next_attempt_at=None, sent_at=timezone.now())

    deliver(Webhook.objects.get().pk)

    page = receiver.received[0].content["data"]
    feed = api.get(f"/api/v1/messages/changes/?after={page['after']}").json()
    assert page["messages"] == feed["results"]
    assert page["next"] == feed["next"]


def test_rotating_shows_a_new_secret_once_and_keeps_the_old_one_for_a_day(api: APIClient) -> None:
    first = add(api).json()
    address = f"{WEBHOOKS}{first['id']}/"

    answer = api.post(f"{address}rotate/")

    second = answer.json()
    assert answer.status_code == 200
    assert second["secret"] != first["secret"]
    assert "secret" not in api.get(address).json()
    until = Webhook.objects.get().former_secret_until
    assert until
    assert abs(until - timezone.now() - timedelta(days=1)) < timedelta(minutes=1)
    assert second["former_secret_until"] == iso(until)


class TestDeliveries:
    @pytest.fixture
    def address(self, api: APIClient, receiver: Receiver) -> str:
        """Add a webhook, and return its address."""
        return added(api, url=receiver.url, events=["sender.held"])

    def happen(self) -> None:
        Event.objects.record("sender.held", [{}])
        relay(now=timezone.now())
        deliver(Webhook.objects.get().pk)

    def test_the_log_says_how_each_went(
        self, api: APIClient, receiver: Receiver, address: str
    ) -> None:
        receiver.status = 503
        self.happen()

        (row,) = api.get(f"{address}deliveries/").json()["results"]
        delivery = Delivery.objects.get()
        assert row == {
            "id": delivery.pk,
            "message_id": receiver.received[0].headers["webhook-id"],
            "event": "sender.held",
            "at": iso(delivery.at),
            "number": 0,
            "state": "pending",
            "attempts": 1,
            "attempted_at": iso(delivery.attempted_at),  # type: ignore[arg-type]  # it is there
            "status_code": 503,
            "duration": delivery.duration,
            "error": "HTTP 503",
            "next_attempt_at": iso(delivery.next_attempt_at),  # type: ignore[arg-type]
        }

    def test_it_comes_in_pages_the_newest_first(self, api: APIClient, address: str) -> None:
        for _ in range(3):
            self.happen()

        page = api.get(f"{address}deliveries/?page_size=2").json()
        ids = [row["id"] for row in page["results"]]
        ids += [row["id"] for row in api.get(page["next"]).json()["results"]]

        assert ids == sorted(Delivery.objects.values_list("pk", flat=True), reverse=True)
        assert refusal(api.get(f"{address}deliveries/?state=failed"))[0] == 400

    def test_what_was_delivered_or_given_up_can_be_delivered_again(
        self, api: APIClient, receiver: Receiver, address: str, queued: Callable[[], Any]
    ) -> None:
        self.happen()
        delivery = Delivery.objects.get()

        answer = api.post(f"{address}deliveries/{delivery.pk}/redeliver/")

        assert answer.status_code == 202
        assert (answer.json()["state"], answer.json()["attempts"]) == ("pending", 0)
        deliver(Webhook.objects.get().pk)
        ids = [call.headers["webhook-id"] for call in receiver.received]
        assert ids == [delivery.message_id] * 2

    def test_not_by_another_webhook(self, api: APIClient, receiver: Receiver, address: str) -> None:
        self.happen()
        other = added(api)

        answer = api.post(f"{other}deliveries/{Delivery.objects.get().pk}/redeliver/")

        assert refusal(answer) == (404, {None: "not_found"})

    def test_a_test_event_can_be_had(
        self, api: APIClient, receiver: Receiver, address: str
    ) -> None:
        answer = api.post(f"{address}test/")
        deliver(Webhook.objects.get().pk)

        assert answer.status_code == 202
        (call,) = receiver.received
        assert call.content["type"] == "webhook.test"

    def test_finished_ones_are_dropped_after_some_days_and_others_are_not(
        self, api: APIClient, receiver: Receiver, address: str, settings: Any
    ) -> None:
        self.happen()
        self.happen()
        old = Delivery.objects.first()
        assert old
        Delivery.objects.filter(pk=old.pk).update(
            finished_at=timezone.now() - timedelta(days=settings.WEBHOOKS_LOG_DAYS, minutes=1)
        )
        receiver.status = 500
        self.happen()

        relay(now=timezone.now())

        states = Delivery.objects.order_by("pk").values_list("state", flat=True)
        assert list(states) == ["delivered", "pending"]
        assert not Delivery.objects.filter(pk=old.pk).exists()

    def test_a_deleted_webhook_is_gone_at_once_and_cleared_away_in_steps(
        self, api: APIClient, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(3):
            self.happen()
        monkeypatch.setattr(relaying, "CLEARED", 1)
        monkeypatch.setattr(relaying, "CLEARINGS", 2)

        assert api.delete(address).status_code == 204

        assert api.get(address).status_code == 404
        assert api.get(f"{address}deliveries/").status_code == 404
        assert api.get(WEBHOOKS).json()["results"] == []
        relay(now=timezone.now())
        assert Delivery.objects.count() == 1
        relay(now=timezone.now())
        relay(now=timezone.now())
        assert not Webhook.objects.exists()
        assert not Delivery.objects.exists()
