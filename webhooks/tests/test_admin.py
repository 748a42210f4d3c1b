"""Webhooks in the console: added, looked at, switched off; the secret once and never again."""

import html
import re

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser
from django.utils import timezone

from toolkit.outbox.models import Event
from webhooks.delivering import deliver
from webhooks.models import Delivery, Webhook
from webhooks.relaying import relay
from webhooks.tests.receiver import Receiver

LIST = "/admin/webhooks/webhook/"
DELIVERIES = "/admin/webhooks/delivery/"
URL = "https://crm.example.com/"
FORM = {"url": URL, "events": ["sender.held"], "is_active": "on"}


@pytest.fixture
def browser(client: Browser, db: None) -> Browser:
    client.force_login(User.objects.create_superuser("root"))
    return client


def text_of(browser: Browser, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200
    return html.unescape(answer.content.decode())


def test_one_that_is_added_shows_its_secret_once(browser: Browser) -> None:
    answer = browser.post(f"{LIST}add/", FORM, follow=True)

    webhook = Webhook.objects.get()
    assert (webhook.url, webhook.events) == (URL, ["sender.held"])
    (secret,) = re.findall(r"whsec_\S+", html.unescape(answer.content.decode()))
    assert webhook.secrets(timezone.now()) == [secret]
    for address in (LIST, f"{LIST}{webhook.pk}/change/", f"{LIST}{webhook.pk}/history/"):
        assert "whsec_" not in text_of(browser, address)


@pytest.mark.parametrize(
    "wrong", [{"url": "ftp://example.com"}, {"url": ""}, {"events": []}, {"events": ["eaten"]}]
)
def test_what_rest_refuses_the_console_refuses(browser: Browser, wrong: dict[str, object]) -> None:
    answer = browser.post(f"{LIST}add/", {**FORM, **wrong})

    assert answer.status_code == 200
    assert not Webhook.objects.exists()


def test_it_is_edited_and_deleted_through_the_services(
    browser: Browser, receiver: Receiver
) -> None:
    browser.post(f"{LIST}add/", {**FORM, "url": receiver.url})
    webhook = Webhook.objects.get()
    receiver.status = 410
    Event.objects.record("sender.held", [{}])
    relay(now=timezone.now())
    deliver(webhook.pk)
    assert "The receiver answered 410 Gone." in text_of(browser, LIST)

    browser.post(f"{LIST}{webhook.pk}/change/", FORM)
    webhook.refresh_from_db()
    assert (webhook.url, webhook.is_active, webhook.disabled_reason) == (URL, True, "")

    browser.post(f"{LIST}{webhook.pk}/delete/", {"post": "yes"})
    webhook.refresh_from_db()
    assert webhook.deleted_at
    assert URL not in text_of(browser, LIST)


def test_deliveries_are_shown_and_cannot_be_touched(browser: Browser, receiver: Receiver) -> None:
    browser.post(f"{LIST}add/", {**FORM, "url": receiver.url})
    receiver.status = 500
    Event.objects.record("sender.held", [{}])
    relay(now=timezone.now())
    deliver(Webhook.objects.get().pk)

    delivery = Delivery.objects.get()
    address = f"{DELIVERIES}{delivery.pk}/"
    assert delivery.message_id in text_of(browser, f"{DELIVERIES}?webhook={delivery.webhook_id}")
    assert delivery.message_id not in text_of(browser, f"{DELIVERIES}?webhook=0")
    assert "HTTP 500" in text_of(browser, f"{address}change/")
    assert browser.post(f"{address}change/", {"state": "delivered"}).status_code == 403
    assert browser.post(f"{address}delete/", {"post": "yes"}).status_code == 403
    assert browser.get(f"{DELIVERIES}add/").status_code == 403


def test_seeing_deliveries_needs_what_seeing_webhooks_needs(client: Browser, db: None) -> None:
    user = User.objects.create_user("somebody", is_staff=True)
    client.force_login(user)
    assert client.get(DELIVERIES).status_code == 403

    user.user_permissions.add(Permission.objects.get(codename="view_webhook"))

    assert client.get(DELIVERIES).status_code == 200
    assert client.get(LIST).status_code == 200
    assert client.get(f"{LIST}add/").status_code == 403
