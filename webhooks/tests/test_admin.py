"""Webhooks in the console: added, looked at, switched off; the secret once and never again."""

import html
import re
from typing import Any

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


def secrets_in(answer: Any) -> list[str]:
    return re.findall(r"whsec_[^<\s]+", html.unescape(answer.content.decode()))


def somebody_with(client: Browser, *codenames: str) -> Browser:
    user = User.objects.create_user("somebody", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return client


def test_one_that_is_added_shows_its_secret_once(browser: Browser) -> None:
    answer = browser.post(f"{LIST}add/", FORM)

    webhook = Webhook.objects.get()
    assert (webhook.url, webhook.events) == (URL, ["sender.held"])
    (secret,) = secrets_in(answer)
    assert webhook.secrets(timezone.now()) == [secret]
    assert "no-store" in answer["Cache-Control"]
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
    page = text_of(browser, LIST)
    assert "switched off by itself" in page
    assert "The receiver answered 410 Gone." in page

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
    assert "HTTP 500, after" in text_of(browser, f"{DELIVERIES}?webhook={delivery.webhook_id}")
    assert "HTTP 500, after" not in text_of(browser, f"{DELIVERIES}?webhook=0")
    assert delivery.message_id in text_of(browser, f"{address}change/")
    assert browser.get(f"{address}history/").status_code == 404  # it is a record itself
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


def test_the_state_of_a_webhook_is_told_in_words(browser: Browser, receiver: Receiver) -> None:
    browser.post(f"{LIST}add/", {**FORM, "url": receiver.url})
    assert "not called yet" in text_of(browser, LIST)

    for status, words in ((500, "failing"), (200, "working")):
        receiver.status = status
        Event.objects.record("sender.held", [{}])
        relay(now=timezone.now())
        Delivery.objects.update(next_attempt_at=timezone.now())
        deliver(Webhook.objects.get().pk)
        assert words in text_of(browser, LIST)


def test_a_new_secret_is_asked_about_and_shown_once_and_the_old_one_signs_on(
    browser: Browser,
) -> None:
    (old,) = secrets_in(browser.post(f"{LIST}add/", FORM))
    webhook = Webhook.objects.get()
    address = f"{LIST}{webhook.pk}/rotate/"

    assert "For a day calls are signed with both" in text_of(browser, address)
    assert webhook.secrets(timezone.now()) == [old]
    answer = browser.post(address, {"post": "yes"})

    (new,) = secrets_in(answer)
    webhook.refresh_from_db()
    assert webhook.secrets(timezone.now()) == [new, old]
    assert "no-store" in answer["Cache-Control"]
    for page in (f"{LIST}{webhook.pk}/change/", address):
        assert "whsec_" not in text_of(browser, page)
    assert "ends at once if you go on" in text_of(browser, address)


def test_a_test_event_is_posted_and_its_page_says_what_came_of_it(
    browser: Browser, receiver: Receiver
) -> None:
    browser.post(f"{LIST}add/", {**FORM, "url": receiver.url})
    webhook = Webhook.objects.get()

    answer = browser.post(f"{LIST}{webhook.pk}/test/")
    delivery = Delivery.objects.get()
    assert answer["Location"] == f"{DELIVERIES}{delivery.pk}/change/"
    deliver(webhook.pk)

    page = text_of(browser, answer["Location"])
    assert "Test event" in page
    assert "HTTP 200" in page
    assert '"type": "webhook.test"' in page


def test_none_is_tested_that_is_switched_off(browser: Browser) -> None:
    browser.post(f"{LIST}add/", FORM)
    webhook = Webhook.objects.get()
    Webhook.objects.update(is_active=False)

    answer = browser.post(f"{LIST}{webhook.pk}/test/", follow=True)

    assert "is not active" in answer.content.decode()
    assert not Delivery.objects.exists()


def test_deliveries_are_filtered_and_posted_again(browser: Browser, receiver: Receiver) -> None:
    browser.post(f"{LIST}add/", {**FORM, "url": receiver.url})
    Event.objects.record("sender.held", [{}])
    relay(now=timezone.now())
    deliver(Webhook.objects.get().pk)
    delivery = Delivery.objects.get()

    def found(query: str) -> int:
        return len(browser.get(f"{DELIVERIES}?{query}").context["cl"].result_list)

    assert found("state=delivered") == found("event=sender.held") == found("") == 1
    assert found("state=failed") == found("event=mailing.started") == found("webhook=x") == 0

    browser.post(f"{DELIVERIES}{delivery.pk}/redeliver/")
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("pending", 0)


def test_who_may_only_look_sees_no_button_and_no_secret(client: Browser, db: None) -> None:
    webhook = Webhook(url=URL, events=["sender.held"])
    webhook.set_secret("whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0")
    webhook.save()
    (delivery,) = Delivery.objects.make("sender.held", [webhook], at=timezone.now(), data={})
    viewer = somebody_with(client, "view_webhook")

    for page in (f"{LIST}{webhook.pk}/change/", f"{DELIVERIES}{delivery.pk}/change/"):
        shown = text_of(viewer, page)
        for word in ("New secret", "Send a test event", "Post again", "whsec_"):
            assert word not in shown
    for address in (
        f"{LIST}{webhook.pk}/test/",
        f"{LIST}{webhook.pk}/rotate/",
        f"{DELIVERIES}{delivery.pk}/redeliver/",
    ):
        assert viewer.post(address).status_code == 403
    assert webhook.secrets(timezone.now()) == Webhook.objects.get().secrets(timezone.now())
    assert Delivery.objects.count() == 1
