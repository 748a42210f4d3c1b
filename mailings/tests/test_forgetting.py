"""Numbers of messages are forgotten some time after their mailing, in short steps."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from clients.models import Client
from mailings.audit import audit
from mailings.forgetting import forget_numbers
from mailings.models import ALL_FORGOTTEN, Mailing
from mailings.tasks import finish_mailing
from messages_app.models import Message
from messages_app.tests.scenes import open_books
from toolkit.clock import monotonic

DAY = timedelta(days=1)
Make = Callable[..., Any]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _after_thirty_days(settings: Settings) -> None:
    settings.MESSAGE_NUMBERS_DAYS = 30


@pytest.fixture
def make_closed(make_mailing: Make, make_clients: Make, now: datetime) -> Callable[..., Mailing]:
    """Return a function that saves a closed mailing with so many failed messages."""

    def make(number: int, *, days: int, deleted: int = 0) -> Mailing:
        over = now - days * DAY
        mailing: Mailing = make_mailing(
            start_time=over - DAY, stop_time=over, status="finished", success_count=0
        )
        clients = [*make_clients(number), *[None] * deleted]
        Message.objects.bulk_create(
            Message(
                mailing=mailing, client=client, status="fail", error_code="expired",
                phone_number=client.phone_number if client else f"7888000{place:04}",
                timezone="UTC",
            )
            for place, client in enumerate(clients)
        )  # fmt: skip
        Mailing.objects.filter(pk=mailing.pk).update(
            fail_count=len(clients), updated_at=over, created_at=over - DAY
        )
        return mailing

    return make


def numbers_of(mailing: Mailing) -> set[str]:
    return {each.known_number for each in Message.objects.filter(mailing=mailing)}


def sender_ids_of(mailing: Mailing) -> list[int]:
    messages = Message.objects.filter(mailing=mailing).with_sender_id().order_by("pk")
    return [each.sender_id for each in messages]


def test_numbers_of_long_ago_are_forgotten_and_nothing_else(
    make_closed: Callable[..., Mailing],
) -> None:
    mailing = make_closed(5, days=31, deleted=3)
    open_books()
    known = sender_ids_of(mailing)

    finish_mailing()

    assert numbers_of(mailing) == {""}
    assert sender_ids_of(mailing) == known
    assert Client.objects.filter(phone_number="").count() == 0
    assert Client.objects.count() == 5
    assert [each.name for each in audit().findings if not each.is_good] == []


def test_those_of_mailings_that_are_younger_or_not_closed_stay(
    make_closed: Callable[..., Mailing], now: datetime
) -> None:
    young, is_open, edited = (make_closed(2, days=days) for days in (29, 31, 31))
    Mailing.objects.filter(pk=is_open.pk).update(success_count=None, status="paused")
    Mailing.objects.filter(pk=edited.pk).update(updated_at=now)

    forget_numbers(now=now)

    for mailing in (young, is_open, edited):
        assert "" not in numbers_of(mailing)


def test_nothing_is_forgotten_unless_somebody_wants_it(
    make_closed: Callable[..., Mailing], now: datetime, settings: Settings
) -> None:
    settings.MESSAGE_NUMBERS_DAYS = 0
    mailing = make_closed(2, days=9999)

    forget_numbers(now=now)

    assert "" not in numbers_of(mailing)


def test_it_goes_on_where_the_last_tick_stopped(
    make_closed: Callable[..., Mailing], now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messages_app.erasing.CHUNK", 2)
    mailing = make_closed(5, days=31, deleted=3)
    left = []
    for _ in range(6):
        forget_numbers(now=now, ends_at=monotonic() - 1)  # one step
        left.append(sum(bool(each.known_number) for each in Message.objects.all()))

    assert left == [6, 4, 3, 1, 0, 0]
    mailing.refresh_from_db()
    assert mailing.numbers_forgotten_up_to == ALL_FORGOTTEN


@pytest.mark.postgres
def test_a_step_reads_and_writes_no_more_than_its_chunk_of_many_messages(
    make_closed: Callable[..., Mailing], now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messages_app.erasing.CHUNK", 100)
    mailing = make_closed(20_000, days=31)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE messages_app_message")
    forget_numbers(now=now, ends_at=monotonic() - 1)
    before = touched()

    forget_numbers(now=now, ends_at=monotonic() - 1)

    read, written = (after - was for after, was in zip(touched(), before, strict=True))
    assert written == 100
    assert read < 1_000
    assert sum(not each.known_number for each in Message.objects.filter(mailing=mailing)) == 200


def touched() -> tuple[int, int]:
    """Return how many rows of messages this transaction has read, and written."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_get_xact_tuples_returned(oid) + pg_stat_get_xact_tuples_fetched(oid),"
            " pg_stat_get_xact_tuples_updated(oid)"
            " FROM pg_class WHERE relname = 'messages_app_message'"
        )
        row: tuple[int, int] = cursor.fetchone()
        return row
