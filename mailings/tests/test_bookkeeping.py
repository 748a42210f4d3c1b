"""Bookkeeping: the ledger stays whole beside an earlier version, and takes in what it has not."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from clients.models import Client
from mailings import closing, preparing, services
from mailings.bookkeeping import keep_books
from mailings.models import Mailing
from mailings.stats import mailing_stats
from messages_app.ledger import reconciling
from messages_app.ledger.balances import total_balances
from messages_app.models import Heartbeat, Message, Posting
from messages_app.tests.scenes import accept, claim_ids

pytestmark = pytest.mark.django_db

MakeClients = Callable[..., list[Client]]
MakeMailing = Callable[..., Mailing]

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def beat_of_an_earlier_version(at: datetime) -> None:
    """Save a heartbeat as code does that keeps no ledger: it writes only `at`."""
    Heartbeat.objects.update_or_create(name="send_message", defaults={"at": at})


def sent(mailing: Mailing) -> object:
    (stats,) = mailing_stats([Mailing.objects.get(pk=mailing.pk)])
    return stats["stats"]["success"]  # type: ignore[index]


@pytest.fixture
def planned(make_mailing: MakeMailing, make_clients: MakeClients, now: datetime) -> Mailing:
    mailing = make_mailing()
    make_clients(3)
    preparing.plan_chunk(mailing.pk, now=now)
    return mailing


def test_a_mailing_of_an_earlier_version_is_taken_in(planned: Mailing, now: datetime) -> None:
    Mailing.objects.update(ledger_at=None)
    Posting.objects.all().delete()
    keep_books(now=now)
    assert Mailing.objects.get().ledger_at == now
    assert reconciling.difference(planned.pk) == {}


def test_while_an_earlier_version_runs_open_mailings_are_counted_by_their_messages(
    planned: Mailing, now: datetime
) -> None:
    beat_of_an_earlier_version(now)
    keep_books(now=now)
    assert Mailing.objects.get().ledger_at is None
    Message.objects.filter(pk=Message.objects.first().pk).update(  # type: ignore[union-attr]
        status="success", next_attempt_at=None
    )
    assert sent(planned) == 1


def test_once_it_is_gone_they_are_taken_in_again_with_what_it_did(
    planned: Mailing, now: datetime
) -> None:
    beat_of_an_earlier_version(now)
    keep_books(now=now)
    Message.objects.update(status="success", next_attempt_at=None)
    keep_books(now=now + 3 * MINUTE)
    assert Mailing.objects.get().ledger_at == now + 3 * MINUTE
    assert sent(planned) == 3
    assert reconciling.difference(planned.pk) == {}


@pytest.mark.parametrize("is_at_work", [True, False])
def test_what_it_has_left_in_the_queue_is_put_where_it_belongs(
    planned: Mailing, now: datetime, is_at_work: bool
) -> None:
    """It finishes and puts off messages without a look at their place in the queue."""
    over, put_off, waiting = Message.objects.values_list("pk", flat=True)
    Message.objects.update(queued_at=now)
    Message.objects.filter(pk=over).update(status="success", sent_at=now, next_attempt_at=None)
    Message.objects.filter(pk=put_off).update(next_attempt_at=now + MINUTE)
    Message.objects.filter(pk=waiting).update(next_attempt_at=now)
    beat_of_an_earlier_version(now)
    keep_books(now=now + (MINUTE if is_at_work else 3 * MINUTE))
    assert dict(Message.objects.values_list("pk", "queued_at")) == {
        over: None,
        put_off: now + MINUTE,
        waiting: now,
    }


def test_what_it_has_left_in_the_queue_is_gone_when_the_mailing_is_closed(
    planned: Mailing, now: datetime
) -> None:
    sent = Message.objects.first()
    assert sent
    done = {"status": "success", "next_attempt_at": None}
    Message.objects.filter(pk=sent.pk).update(**done, queued_at=now)
    closing.finish_mailing(planned.pk, now=planned.stop_time)
    assert Mailing.objects.get().is_closed
    assert not Message.objects.exclude(queued_at=None).exists()


def test_heartbeats_of_this_version_take_nothing_out(planned: Mailing, now: datetime) -> None:
    for seconds in (0, 6, 12):
        Heartbeat.objects.beat("send_message", now + timedelta(seconds=seconds))
    keep_books(now=now)
    assert Mailing.objects.get().ledger_at


def test_an_earlier_version_is_remembered_behind_our_own_heartbeat(
    planned: Mailing, now: datetime
) -> None:
    Heartbeat.objects.beat("send_message", now)
    beat_of_an_earlier_version(now + timedelta(seconds=6))
    Heartbeat.objects.beat("send_message", now + timedelta(seconds=7))
    keep_books(now=now + timedelta(seconds=8))
    assert Mailing.objects.get().ledger_at is None


@pytest.mark.parametrize(("minutes", "is_keyed"), [(0, False), (1, False), (3, True)])
def test_a_mailing_made_while_an_earlier_version_works_is_one_that_it_can_send(
    now: datetime, minutes: int, is_keyed: bool
) -> None:
    beat_of_an_earlier_version(now - minutes * MINUTE)
    mailing = Mailing(start_time=now, stop_time=now + DAY, text="Hello")
    services.create_mailing(mailing, now=now)
    assert (Mailing.objects.get().sender_key is not None) is is_keyed


def test_what_something_else_has_changed_is_corrected_when_the_mailing_is_closed(
    planned: Mailing, now: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    accept(claim_ids(planned, now, limit=1), at=now)
    Message.objects.filter(status="pending").update(timezone="Asia/Tokyo")
    closing.finish_mailing(planned.pk, now=planned.stop_time)
    closed = Mailing.objects.get()
    assert (closed.success_count, closed.fail_count) == (1, 2)
    assert reconciling.difference(planned.pk) == {}
    (line,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert "the ledger was corrected" in line.getMessage()


def test_a_mailing_that_nobody_else_has_touched_needs_no_correction(
    planned: Mailing, now: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    closing.finish_mailing(planned.pk, now=planned.stop_time)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_old_postings_are_dropped(planned: Mailing, now: datetime) -> None:
    keep_books(now=now)
    accept(claim_ids(planned, now), at=now)
    keep_books(now=now + 15 * DAY)
    assert [each.after.split("|")[0] for each in Posting.objects.all()] == ["success"]


def test_a_deleted_mailing_leaves_the_totals(planned: Mailing, now: datetime) -> None:
    keep_books(now=now)
    services.delete_mailing(services.cancel_mailing(planned), now=now)
    assert total_balances() == {}
    closing.finish_mailing(planned.pk, now=now)
    assert reconciling.difference(planned.pk) == {}
    assert not Mailing.including_deleted.exists()
