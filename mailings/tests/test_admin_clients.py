"""A client's page tells their whole story, and why a mailing did not reach them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from clients.models import Client
from mailings.models import Mailing
from mailings.story import PAGE
from messages_app.models import Message
from tests.console import confirm

pytestmark = pytest.mark.django_db

MakeMailing = Callable[..., Mailing]


@pytest.fixture
def admin_user(django_user_model: type[User]) -> User:
    # Without a password, because hashing one takes longer than a test.
    return django_user_model.objects.create(username="admin", is_staff=True, is_superuser=True)


@pytest.fixture
def olga(make_clients: Callable[..., list[Client]]) -> Client:
    (client,) = make_clients(1, phone_number="79991930429", tag="vip")
    return client


def shown(browser: Browser, client: Client, query: str = "") -> Any:
    return browser.get(f"{reverse('admin:clients_client_change', args=[client.pk])}{query}")


def test_every_mailing_that_wrote_to_a_client_is_told_newest_first(
    admin_client: Browser, olga: Client, make_mailing: MakeMailing
) -> None:
    first, second = make_mailing(text="The text of now"), make_mailing(text="Autumn")
    first.former_texts.create(version=1, text="The text that was sent", replaced_at=first.stop_time)
    Message.objects.create(
        mailing=first, client=olga, status="success", attempts=1, text_version=1,
        sent_at=first.start_time,
    )  # fmt: skip
    Message.objects.create(
        mailing=second, client=olga, status="fail", attempts=3, error_code="rejected",
        error="HTTP 400: No such number",
    )  # fmt: skip

    page = shown(admin_client, olga)

    told = [(row["message"].mailing_id, row["text"]) for row in page.context["chapters"]]
    assert told == [(second.pk, "Autumn"), (first.pk, "The text that was sent")]
    content = page.content.decode()
    assert "HTTP 400: No such number" in content
    assert "3 attempts" in content
    assert reverse("admin:mailings_mailing_change", args=[first.pk]) in content


def test_a_long_story_is_paged_with_a_constant_number_of_queries(
    admin_client: Browser, olga: Client, make_mailing: MakeMailing
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            shown(admin_client, olga)
        return len(captured)

    for _ in range(2):
        Message.objects.create(mailing=make_mailing(), client=olga)
    shown(admin_client, olga)
    few = queries()
    for _ in range(PAGE):
        Message.objects.create(mailing=make_mailing(), client=olga)

    assert queries() == few
    page = shown(admin_client, olga)
    assert len(page.context["chapters"]) == PAGE
    older = shown(admin_client, olga, f"?before={page.context['story'].older}")
    assert len(older.context["chapters"]) == 2


def test_it_says_why_a_mailing_did_not_reach_a_client(
    admin_client: Browser, olga: Client, make_mailing: MakeMailing
) -> None:
    mailing = make_mailing(filters={"tag": "new"})
    content = shown(admin_client, olga, f"?why={mailing.pk}").content.decode()
    assert "As things stand, it is never sent" in content
    assert "the filters ask for &#x27;new&#x27;" in content
    assert "There is no mailing 99999." in shown(admin_client, olga, "?why=99999").content.decode()
    assert "There is no mailing x." in shown(admin_client, olga, "?why=x").content.decode()


def test_the_story_is_for_those_who_may_see_messages(
    client: Browser, olga: Client, make_mailing: MakeMailing
) -> None:
    Message.objects.create(mailing=make_mailing(text="Secret text"), client=olga)
    somebody = User.objects.create(username="maria", is_staff=True)
    somebody.user_permissions.set(Permission.objects.filter(codename="view_client"))
    client.force_login(somebody)
    page = shown(client, olga)
    assert page.status_code == 200
    assert "Secret text" not in page.content.decode()
    assert "Erase everywhere" not in page.content.decode()


def test_erasing_asks_first_and_then_forgets_the_client(
    admin_client: Browser, olga: Client, make_mailing: MakeMailing
) -> None:
    Message.objects.create(mailing=make_mailing(), client=olga)
    address = reverse("admin:clients_client_erase", args=[olga.pk])

    assert "It cannot be taken back." in admin_client.get(address).content.decode()
    assert "1 message stays without the number" in admin_client.post(address).content.decode()
    assert Client.objects.exists()
    answer = confirm(admin_client, address)

    assert "The client is erased" in answer.content.decode()
    assert not Client.objects.exists()
    assert admin_client.post(address).status_code == 404
