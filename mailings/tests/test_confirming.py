"""All messages of which nobody knows: somebody says that they arrived, however many they are."""

from collections.abc import Callable
from datetime import datetime, timedelta
from math import inf
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser
from rest_framework.test import APIClient

from clients.models import Client
from mailings import services
from mailings.closing import finish_mailing
from mailings.confirming import confirm_asked, unconfirmed_in
from mailings.models import Mailing
from mailings.stats import balances_of
from mailings.tasks import finish_mailing as finish_task
from messages_app import arrivals
from messages_app.ledger import counting, folding
from messages_app.models import Attempt, Message
from messages_app.tests.scenes import open_books
from tests.console import confirm, question_of
from toolkit.history.models import Entry

pytestmark = pytest.mark.django_db

LIST = "/admin/mailings/mailing/"
MAILINGS = "/api/v1/mailings/"
UNKNOWN = {"status": "fail", "error_code": "unconfirmed", "error": "?", "attempts": 1}

MakeMailing = Callable[..., Mailing]
MakeClients = Callable[..., list[Client]]


@pytest.fixture
def mailing(make_mailing: MakeMailing, make_clients: MakeClients, now: datetime) -> Mailing:
    """Return a mailing with three messages of which nobody knows, and one of every other kind."""
    mailing = make_mailing(last_run_time=now)
    others: list[dict[str, Any]] = [
        {"status": "success", "attempts": 1},
        {"status": "fail", "error_code": "rejected", "attempts": 1},
        {**UNKNOWN, "next_attempt_at": now},
        {**UNKNOWN, "lease_token": 1, "lease_until": now, "next_attempt_at": now},
    ]
    rows = [*others[:2], UNKNOWN, UNKNOWN, *others[2:], UNKNOWN]
    for client, values in zip(make_clients(len(rows)), rows, strict=True):
        message = Message.objects.create(
            mailing=mailing, client=client, phone_number=client.phone_number, **values
        )
        if values == UNKNOWN:
            message.attempt_log.create(
                number=1,
                began_at=now - timedelta(minutes=1),
                error_code="unconfirmed",
                error="?",
                is_unclear=True,
            )
    open_books()
    return mailing


def states(mailing: Mailing) -> list[str]:
    rows = mailing.messages.order_by("pk").values_list("status", "error_code", "next_attempt_at")
    return [f"{status} {code}{' again' if at else ''}".strip() for status, code, at in rows]


def is_in_the_ledger(mailing: Mailing) -> bool:
    found = {account: n for account, n in balances_of([mailing])[mailing.pk].items() if n}
    return found == counting.count([mailing.pk])[mailing.pk]


DONE = [
    *("success", "fail rejected", "success", "success"),
    *("fail unconfirmed again", "fail unconfirmed again", "success"),
]


def test_they_become_a_success_and_all_others_stay_as_they_are(
    mailing: Mailing, now: datetime
) -> None:
    assert services.confirm_unconfirmed(mailing, now=now) == 3
    assert states(mailing).count("fail unconfirmed") == 3  # The task does it.

    assert not confirm_asked(mailing.pk, now=now, ends_at=inf)

    assert states(mailing) == DONE
    mailing.refresh_from_db()
    assert (mailing.confirmed_up_to, unconfirmed_in(mailing)) == (None, 0)
    assert not Attempt.objects.filter(is_unclear=True).exists()
    assert is_in_the_ledger(mailing)
    [entry] = Entry.objects.of(f"mailings/{mailing.pk}")
    assert (entry.deed, entry.details) == ("confirmed", {"messages": 3})


@pytest.mark.parametrize(("looked_at", "accepted"), [(1, 10), (2, 10), (100, 1), (3, 2)])
def test_however_small_the_steps_all_are_found(
    looked_at: int,
    accepted: int,
    mailing: Mailing,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arrivals, "LOOKED_AT", looked_at)
    monkeypatch.setattr(arrivals, "ACCEPTED", accepted)
    services.confirm_unconfirmed(mailing, now=now)

    steps = 1
    while confirm_asked(mailing.pk, now=now, ends_at=-inf):
        steps += 1
        assert steps < 10

    assert states(mailing) == DONE
    assert is_in_the_ledger(mailing)


def test_what_is_tried_after_it_was_said_is_left_alone(mailing: Mailing, now: datetime) -> None:
    services.confirm_unconfirmed(mailing, now=now)
    late = Attempt.objects.filter(is_unclear=True)[0]
    Attempt.objects.filter(pk=late.pk).update(began_at=now + timedelta(seconds=1))

    assert not confirm_asked(mailing.pk, now=now, ends_at=inf)

    mailing.refresh_from_db()
    assert (unconfirmed_in(mailing), mailing.confirmed_up_to) == (1, None)


def test_the_counts_of_a_closed_mailing_are_corrected(mailing: Mailing, now: datetime) -> None:
    Message.objects.filter(lease_token=1).update(lease_token=None, lease_until=None)
    services.cancel_mailing(mailing)
    finish_mailing(mailing.pk, now=now)
    mailing.refresh_from_db()
    sent = mailing.success_count or 0
    failed = mailing.fail_count or 0

    number = services.confirm_unconfirmed(mailing, now=now)
    finish_task(mailing.pk)

    mailing.refresh_from_db()
    assert (mailing.success_count, mailing.fail_count) == (sent + number, failed - number)
    assert is_in_the_ledger(mailing)


def test_the_tick_goes_on_with_what_was_left(mailing: Mailing, now: datetime, queued: Any) -> None:
    finish_task()
    assert ("finish_mailing", mailing.pk) not in queued()

    services.confirm_unconfirmed(mailing, now=now)
    finish_task()

    assert ("finish_mailing", mailing.pk) in queued()


def test_over_rest_it_says_how_many(
    api: APIClient, mailing: Mailing, queued: Any, django_capture_on_commit_callbacks: Any
) -> None:
    address = f"{MAILINGS}{mailing.pk}/confirm/"
    with django_capture_on_commit_callbacks(execute=True):
        answer = api.post(address)
    assert (answer.status_code, answer.json()) == (202, {"messages": 3})
    assert queued() == [("finish_mailing", mailing.pk)]
    finish_task(mailing.pk)
    assert api.post(address).json() == {"messages": 0}


class TestInTheConsole:
    def test_it_is_asked_with_their_number_and_told_afterwards(
        self,
        admin_client: Browser,
        mailing: Mailing,
        queued: Any,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        address = f"{LIST}{mailing.pk}/confirm/"
        panel = admin_client.get(f"{LIST}{mailing.pk}/panel/?full=1").json()["parts"]
        assert f'href="{address}"' in panel["reasons"]["html"]
        told = "3 messages of which nobody knew count as sent from now on."
        assert told in question_of(admin_client.get(address)).facts
        with django_capture_on_commit_callbacks(execute=True):
            assert told in confirm(admin_client, address).content.decode()
        assert queued() == [("finish_mailing", mailing.pk)]
        finish_task(mailing.pk)
        assert states(mailing) == DONE
        answer = admin_client.get(address, follow=True).content.decode()
        assert "Of no message of it that is unknown." in answer

    def test_in_all_mailings_at_once(
        self, admin_client: Browser, mailing: Mailing, make_mailing: MakeMailing
    ) -> None:
        make_mailing()
        folding.fold_all()
        page = confirm(admin_client, f"{LIST}all/confirm/").content.decode()
        assert "1 mailing told that all has arrived." in page
        mailing.refresh_from_db()
        assert mailing.confirmed_up_to is not None

    def test_it_is_offered_to_those_who_may(self, client: Browser, mailing: Mailing) -> None:
        somebody = User.objects.create_user("somebody", is_staff=True)
        rights = ["view_mailing", "view_message"]
        somebody.user_permissions.set(Permission.objects.filter(codename__in=rights))
        client.force_login(somebody)
        panel = client.get(f"{LIST}{mailing.pk}/panel/?full=1").json()["parts"]
        assert "/confirm/" not in panel["reasons"]["html"]
        for address in (f"{LIST}{mailing.pk}/confirm/", f"{LIST}all/confirm/"):
            assert client.get(address).status_code == 403
