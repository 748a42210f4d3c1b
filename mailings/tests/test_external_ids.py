"""Another program's ids of mailings: each there once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.utils import timezone
from rest_framework.test import APIClient

from mailings.finding import find_mailings
from mailings.models import Mailing
from mailings.services import delete_mailing
from tests.rest import iso, refusal

pytestmark = pytest.mark.django_db

MAILINGS = "/api/v1/mailings/"
MakeMailing = Callable[..., Mailing]


@pytest.fixture
def payload(now: datetime) -> dict[str, Any]:
    """Return what a new mailing is created from."""
    times = {"start_time": iso(now), "stop_time": iso(now + timedelta(hours=1))}
    return {**times, "text": "Hello", "filters": {}, "external_id": "order-1"}


def test_it_is_set_changed_and_taken_away(api: APIClient, payload: dict[str, Any]) -> None:
    made = api.post(MAILINGS, payload).json()
    page = f"{MAILINGS}{made['id']}/"

    assert made["external_id"] == "order-1"
    assert api.patch(page, {"text": "Bye"}).json()["external_id"] == "order-1"
    assert api.patch(page, {"external_id": ""}).json()["external_id"] is None


def test_one_that_another_mailing_has_is_refused_with_that_mailing(
    api: APIClient, payload: dict[str, Any], make_mailing: MakeMailing
) -> None:
    first, other = api.post(MAILINGS, payload).json(), make_mailing()

    for answer in (
        api.post(MAILINGS, payload),
        api.patch(f"{MAILINGS}{other.pk}/", {"external_id": "order-1"}),
    ):
        assert refusal(answer) == (409, {"external_id": "external_id_taken"})
        assert answer.json()["errors"][0]["id"] == first["id"]
    assert Mailing.objects.count() == 2


def test_that_of_a_deleted_mailing_is_free_at_once(
    api: APIClient, payload: dict[str, Any], make_mailing: MakeMailing
) -> None:
    mailing = make_mailing(external_id="order-1", status="cancelled")
    delete_mailing(mailing, now=timezone.now())

    assert Mailing.including_deleted.filter(pk=mailing.pk).exists()
    assert api.post(MAILINGS, payload).status_code == 201


def test_it_finds_its_mailing(api: APIClient, make_mailing: MakeMailing) -> None:
    mailing, other = make_mailing(external_id="order-1"), make_mailing()

    found = api.get(f"{MAILINGS}?external_id=order-1").json()["results"]

    assert [row["id"] for row in found] == [mailing.pk]
    assert find_mailings("order-1", most=5) == [mailing]
    Mailing.objects.filter(pk=other.pk).update(external_id=str(mailing.pk))
    assert find_mailings(str(mailing.pk), most=5) == [other, mailing]


def test_the_console_writes_shows_and_finds_it(
    admin_client: Browser, make_mailing: MakeMailing
) -> None:
    stop = f"{timezone.now() + timedelta(days=1):%Y-%m-%dT%H:%M}"
    form = {"text": "Hello", "begins": "now", "stop_time": stop, "external_id": "order-1"}

    admin_client.post("/admin/mailings/mailing/add/", form)
    refused = admin_client.post("/admin/mailings/mailing/add/", form)

    mailing = Mailing.objects.get()
    assert mailing.external_id == "order-1"
    errors = refused.context["adminform"].form.errors
    assert errors == {"external_id": ["There is already a mailing with this external id."]}
    response = admin_client.get("/admin/mailings/mailing/", {"q": "order-1"})
    assert list(response.context["cl"].result_list) == [mailing]
    ended = make_mailing(status="finished", external_id="order-2")
    page = admin_client.get(f"/admin/mailings/mailing/{ended.pk}/change/").content.decode()
    assert "order-2" in page
