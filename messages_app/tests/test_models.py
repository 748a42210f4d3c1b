"""What the database itself guarantees of messages and of the engine's own rows."""

from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission, User
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from model_bakery import baker

from clients.models import Client
from messages_app.models import (
    Attempt,
    Doorbell,
    Heartbeat,
    Lease,
    Message,
    SendingControl,
    Withdrawal,
)

if TYPE_CHECKING:
    from mailings.models import Mailing

pytestmark = pytest.mark.django_db

MakeClients = Callable[..., list[Client]]
MakeMailing = Callable[..., "Mailing"]


@pytest.fixture
def person(make_clients: MakeClients) -> Client:
    return make_clients(1)[0]


@pytest.fixture
def message(mailing: "Mailing", person: Client) -> Message:
    return Message.objects.create(mailing=mailing, client=person, phone_number=person.phone_number)


def test_a_new_message_is_pending(message: Message) -> None:
    message.refresh_from_db()
    assert (message.status, message.attempts, message.error_code) == ("pending", 0, "")
    assert (message.sent_at, message.lease_token, message.lease_until) == (None, None, None)


def test_a_client_has_one_message_of_a_mailing(message: Message, make_mailing: MakeMailing) -> None:
    Message.objects.create(mailing=make_mailing(), client=message.client)
    with pytest.raises(IntegrityError), transaction.atomic():
        Message.objects.create(mailing=message.mailing, client=message.client)
    assert Message.objects.count() == 2


@pytest.mark.parametrize(
    "change",
    [{"status": "lost"}, {"status": "success", "next_attempt_at": Now()}, {"mailing": None}],
)
def test_the_database_refuses_what_makes_no_sense(message: Message, change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Message.objects.filter(pk=message.pk).update(**change)


def test_a_deleted_clients_messages_stay_with_their_numbers(
    message: Message, person: Client
) -> None:
    number = person.phone_number
    person.delete()
    message.refresh_from_db()
    assert (message.client, message.phone_number) == (None, number)


def test_messages_of_deleted_clients_do_not_get_in_each_others_way(
    mailing: "Mailing", make_clients: MakeClients
) -> None:
    for client in make_clients(2):
        Message.objects.create(mailing=mailing, client=client)
    Client.objects.all().delete()
    assert Message.objects.filter(client=None).count() == 2


def test_all_of_a_mailing_goes_with_it(message: Message, person: Client, now: datetime) -> None:
    Withdrawal.objects.create(mailing=message.mailing, client=person)
    Doorbell.objects.create(mailing=message.mailing, lane=0, expires_at=now)
    Lease.objects.create(token=-7, mailing=message.mailing, expires_at=now)
    Attempt.objects.create(message=message, number=1)
    message.mailing.delete()
    assert not Lease.objects.exists()
    assert not Attempt.objects.exists()
    assert not Message.objects.exists()
    assert not Withdrawal.objects.exists()
    assert not Doorbell.objects.exists()


def test_an_id_is_never_used_again(message: Message, mailing: "Mailing", person: Client) -> None:
    number = message.pk
    message.delete()
    assert Message.objects.create(mailing=mailing, client=person).pk > number


def test_a_client_is_withdrawn_once(mailing: "Mailing", person: Client) -> None:
    Withdrawal.objects.create(mailing=mailing, client=person)
    with pytest.raises(IntegrityError), transaction.atomic():
        Withdrawal.objects.create(mailing=mailing, client=person)


def test_a_lane_has_one_doorbell(mailing: "Mailing", now: datetime) -> None:
    Doorbell.objects.create(mailing=mailing, lane=0, expires_at=now)
    with pytest.raises(IntegrityError), transaction.atomic():
        Doorbell.objects.create(mailing=mailing, lane=0, expires_at=now)


def test_an_attempt_is_logged_once(message: Message) -> None:
    for number in (2, 1):
        Attempt.objects.create(message=message, number=number)
    with pytest.raises(IntegrityError), transaction.atomic():
        Attempt.objects.create(message=message, number=1)
    assert [row.number for row in message.attempt_log.all()] == [1, 2]


def test_there_is_one_row_and_at_first_it_blocks_nothing() -> None:
    row = SendingControl.objects.current()
    assert (row.is_paused, row.rate, row.failures) == (False, None, 0)
    assert (row.opened_at, row.probe_at, row.next_slot_at) == (None, None, None)
    with pytest.raises(IntegrityError), transaction.atomic():
        SendingControl.objects.create(pk=2)


def test_the_quick_look_finds_the_same_row_and_makes_a_missing_one(now: datetime) -> None:
    SendingControl.objects.update(is_paused=True, rate=2.5, next_slot_at=now)
    assert SendingControl.objects.read().__dict__.keys() >= {"is_paused", "rate", "next_slot_at"}
    row = SendingControl.objects.read()
    assert (row.is_paused, row.rate, row.next_slot_at) == (True, 2.5, now)
    SendingControl.objects.all().delete()
    assert not SendingControl.objects.read().is_paused
    assert SendingControl.objects.exists()


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_that_would_stop_everything_is_refused(rate: float) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        SendingControl.objects.update(rate=rate)


def test_no_index_holds_what_a_claim_or_a_first_success_writes() -> None:
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, Message._meta.db_table)
    indexed = {
        column for each in constraints.values() if each["index"] for column in each["columns"]
    }
    assert "queued_at" in indexed
    # The number is in one, and a claim writes it as it is, unless the client's was edited.
    claimed = {"lease_token", "lease_until", "attempts", "text_version"}
    assert not indexed & (claimed | {"status", "sent_at", "next_attempt_at", "error"})


def test_the_newest_comes_first(message: Message, make_mailing: MakeMailing) -> None:
    newer = Message.objects.create(mailing=make_mailing(), client=message.client)
    assert list(Message.objects.all()) == [newer, message]


def test_everything_has_a_name(message: Message, mailing: "Mailing", person: Client) -> None:
    withdrawal = Withdrawal(mailing=mailing, client=person)
    doorbell = Doorbell(mailing=mailing, lane=1)
    assert str(message) == f"Message {message.pk}"
    assert str(withdrawal) == f"Client {person.pk} withdrawn from mailing {mailing.pk}"
    assert str(doorbell) == f"Doorbell 1 of mailing {mailing.pk}"
    assert str(Attempt(message=message, number=2)) == f"Attempt 2 of message {message.pk}"
    lease = Lease(token=-7, mailing=mailing)
    assert str(lease) == f"Lease -7 on messages of mailing {mailing.pk}"
    assert str(SendingControl()) == "Pause, rate and breaker"
    assert str(Heartbeat(name="beat")) == "Heartbeat of beat"


def test_who_could_pause_sending_before_the_renaming_still_can() -> None:
    rename = import_module("messages_app.migrations.0005_sending_control")
    operator = baker.make(User)
    operator.user_permissions.set(Permission.objects.filter(codename__endswith="_sendingcontrol"))
    rename.restore_permissions(apps, None)
    assert User.objects.get().has_perm("messages_app.change_brakes")
    rename.rename_permissions(apps, None)
    assert User.objects.get().get_all_permissions() == {
        f"messages_app.{action}_sendingcontrol" for action in ("add", "change", "delete", "view")
    }
