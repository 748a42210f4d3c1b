"""The search field of the console: whatever somebody has at hand leads to a page."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser

from clients.models import Client
from mailings.models import Mailing

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin_user(django_user_model: type[User]) -> User:
    # Without a password, because hashing one takes longer than a test.
    return django_user_model.objects.create(username="admin", is_staff=True, is_superuser=True)


@pytest.fixture
def olga(make_clients: Callable[..., list[Client]]) -> Client:
    (client,) = make_clients(1, phone_number="79991930429", tag="vip")
    return client


def found(browser: Browser, text: str) -> list[tuple[str, str]]:
    answer = browser.get("/admin/find/", {"q": text}, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    return [(hit.kind, hit.name) for hit in answer.context["hits"]]


def test_a_single_hit_is_opened_by_enter(admin_client: Browser, olga: Client) -> None:
    answer = admin_client.get("/admin/find/", {"q": "8 (999) 193-04-29"})
    assert answer.url == f"/admin/clients/client/{olga.pk}/change/"  # type: ignore[attr-defined]


def test_of_several_hits_a_page_tells_all(
    admin_client: Browser, olga: Client, make_clients: Callable[..., list[Client]]
) -> None:
    make_clients(1, phone_number="79261930429")
    answer = admin_client.get("/admin/find/", {"q": "0429"})
    shown = answer.content.decode()
    assert "+79991930429" in shown
    assert "+79261930429" in shown
    assert "Nothing is found" in admin_client.get("/admin/find/", {"q": "0430"}).content.decode()


def test_a_mailing_is_found_by_its_id_and_by_words_of_its_text(
    admin_client: Browser, make_mailing: Callable[..., Mailing]
) -> None:
    spring = make_mailing(text="Скидки весной: 20 % на Всё")
    make_mailing(text="Скидки осенью")
    assert found(admin_client, "весной СКИДКИ") == [("Mailing", f"Mailing {spring.pk}")]
    assert ("Mailing", f"Mailing {spring.pk}") in found(admin_client, str(spring.pk))
    assert found(admin_client, f"mailing {spring.pk}") == [("Mailing", f"Mailing {spring.pk}")]
    assert found(admin_client, f"#{spring.pk}") == [("Mailing", f"Mailing {spring.pk}")]
    assert len(found(admin_client, "скидки")) == 2
    Mailing.objects.filter(pk=spring.pk).update(deleted_at=spring.start_time)
    assert found(admin_client, f"#{spring.pk}") == found(admin_client, "весной") == []


def test_a_tag_and_a_page_are_found_by_their_beginnings(
    admin_client: Browser, olga: Client
) -> None:
    assert found(admin_client, "vi") == [("Tag", "vip")]
    assert ("Page", "Clients") in found(admin_client, "cli")


@pytest.mark.parametrize("text", ["", " ", "\0", "%", "'", "9" * 500, "<script>", "9" * 19])
def test_any_text_is_answered(admin_client: Browser, olga: Client, text: str) -> None:
    assert found(admin_client, text) == []


def test_who_may_not_see_clients_finds_none(
    client: Browser, olga: Client, make_mailing: Any
) -> None:
    make_mailing(text="Spring")
    somebody = User.objects.create(username="maria", is_staff=True)
    client.force_login(somebody)
    assert found(client, "0429") == found(client, "vip") == found(client, "spring") == []
    somebody.user_permissions.set(Permission.objects.filter(codename="view_mailing"))
    client.force_login(User.objects.get(pk=somebody.pk))
    assert len(found(client, "spring")) == 1
    assert found(client, "0429") == []


def test_it_is_for_those_who_may_use_the_console(client: Browser) -> None:
    assert client.get("/admin/find/").status_code == 302


def test_the_field_is_on_every_page(admin_client: Browser, olga: Client) -> None:
    one = f"/admin/clients/client/{olga.pk}/change/"
    for page in ("/admin/", "/admin/clients/client/", one, "/admin/find/"):
        assert 'role="search"' in admin_client.get(page).content.decode()
