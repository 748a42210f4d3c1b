"""The three tasks. With a mailing's id a task works on it; without, it looks for work (the tick).

They live in the package that sees both mailings and messages. A task's only argument is an id (and
a lane): what is to be done is read from the database (docs/adr/0001-database-is-the-truth.md).
"""

from datetime import datetime, timedelta
from functools import partial

from celery import shared_task
from django.conf import settings
from django.db import transaction

from clients.changing import tend_changes
from clients.imports.uploads import tend_imports
from mailings import closing, confirming, forgetting, preparing
from mailings.bookkeeping import keep_books
from mailings.models import Mailing
from mailings.statements import making
from messages_app.engine import doorbells, recovery
from messages_app.engine.pump import deliver
from messages_app.engine.records import Bell
from messages_app.ledger import folding
from messages_app.models import Heartbeat, SendingControl
from messages_app.sending import control, home
from toolkit import clock, shutdown
from toolkit.access.ended import drop_ended
from toolkit.access.notices import tend_notices
from toolkit.clock import monotonic
from toolkit.outages import tolerate_database_outage
from toolkit.outbox.models import Event
from toolkit.publishing import publish
from toolkit.rest.idempotency.models import GivenAnswer

PLAN_TIME_BOX = 0.5  # seconds that a task plans; then other mailings have their turn
FINISH_TIME_BOX = 0.5  # seconds that a task fails or clears away messages
STATE_TIME_BOX = 0.5  # seconds that a task makes a statement
FORGET_TIME_BOX = 1.0  # seconds that a tick forgets numbers, and that it drops what logins left


@shared_task(name="start_mailing")
def start_mailing(mailing_id: int | None = None) -> None:
    """Start and plan one mailing and ring for it; without an id, queue that for all (the tick)."""
    with tolerate_database_outage("Planning"):
        _report("start_mailing")
        if mailing_id is None:
            _start_all()
        else:
            _start(mailing_id)


@shared_task(name="send_message")
def send_message(mailing_id: int | None = None, lane: int = 0) -> None:
    """Deliver due messages of one mailing for a bounded time; queue again if more are due.

    Without an id (the tick): reclaim what is lost, and ring for mailings with due messages.
    """
    with tolerate_database_outage("Sending"):
        _report("send_message")
        if mailing_id is None:
            _ring_all()
        else:
            deliver(
                Bell(mailing_id, lane),
                preparing.read_running,
                is_stopping=shutdown.is_requested,
                is_wanted=preparing.is_any_to_start,
            )


@shared_task(name="finish_mailing")
def finish_mailing(mailing_id: int | None = None) -> None:
    """Close one mailing that is over, and confirm what somebody says arrived.

    Without an id, queue that for all, and keep the books.
    """
    with tolerate_database_outage("Closing"):
        now = clock.now()
        if mailing_id is None:
            for pk in Mailing.objects.to_close(now).values_list("pk", flat=True):
                publish("finish_mailing", pk)
            for pk in Mailing.objects.to_confirm().values_list("pk", flat=True):
                publish("finish_mailing", pk)
            for pk in Mailing.including_deleted.deleted().values_list("pk", flat=True):
                publish("finish_mailing", pk)
            keep_books(now=now)
            GivenAnswer.objects.drop_old(now=now)
            Event.objects.drop_old(before=now - timedelta(days=settings.LEDGER_DAYS))
            forgetting.forget_numbers(now=now, ends_at=monotonic() + FORGET_TIME_BOX)
            drop_ended(now=now, ends_at=monotonic() + FORGET_TIME_BOX)
            for pk in making.statements_to_make(now=now):
                publish("make_statement", pk)
            tend_notices(now=now)
            tend_changes(now=now)
            tend_imports(now=now)  # last: the storage of files may be away
        elif _finish(mailing_id, now):
            publish("finish_mailing", mailing_id)


@shared_task(name="make_statement")
def make_statement(statement_id: int) -> None:
    """Make a statement for a bounded time; queue again if it is not made by then."""
    with tolerate_database_outage("Stating"):
        ends_at = monotonic() + STATE_TIME_BOX
        if making.make(statement_id, now=clock.now(), ends_at=ends_at):
            publish("make_statement", statement_id)


def apply_on_commit(mailing: Mailing) -> None:
    """Queue the task that applies a saved mailing once it is committed, not at the next tick.

    Of many mailings that start at once, one task starts all. For a draft there is nothing to do.
    """
    if not mailing.is_draft:
        transaction.on_commit(partial(_apply, mailing))


def _apply(mailing: Mailing) -> None:
    if mailing.is_ended:
        publish("finish_mailing", mailing.pk)
    elif not preparing.is_taken_along(mailing, clock.now()):
        publish("start_mailing", mailing.pk)


def confirm_on_commit(mailing: Mailing) -> None:
    """Queue the task that confirms messages of a mailing once it is committed."""
    transaction.on_commit(partial(publish, "finish_mailing", mailing.pk))


def _finish(mailing_id: int, now: datetime) -> bool:
    """Work for a bounded time on what is left to do with a mailing's messages. Is there more?"""
    ends_at = monotonic() + FINISH_TIME_BOX
    is_more = closing.finish_mailing(mailing_id, now=now, ends_at=ends_at)
    return confirming.confirm_asked(mailing_id, now=now, ends_at=ends_at) or is_more


def _report(task: str) -> None:
    """Leave a task's heartbeat, in a database that knows where it lives."""
    now = clock.now()
    home.check(now=now)  # First: it tells when the database was last at work elsewhere.
    Heartbeat.objects.beat(task, now)


def _start(mailing_id: int) -> None:
    time, ends_at = clock.Clock(), monotonic() + PLAN_TIME_BOX
    while _start_waiting(mailing_id, time.now()):
        if monotonic() > ends_at:
            publish("start_mailing", mailing_id)
            return
    if not preparing.is_to_visit(mailing_id, time.now()):
        return
    while _plan_chunk(mailing_id, time.now()):
        doorbells.ring(mailing_id, now=time.now())
        if monotonic() > ends_at:
            publish("start_mailing", mailing_id)
            return
    if preparing.read_running([mailing_id], time.now()):
        doorbells.ring(mailing_id, now=time.now())


def _start_waiting(mailing_id: int, now: datetime) -> bool:
    """Start mailings that wait, this one first, and ring for them. Returns whether any waited."""
    started = preparing.start_waiting(mailing_id, now=now)
    doorbells.ring_planned(started, now=clock.now())
    for pk, planned in started.items():
        if planned is None and pk != mailing_id:
            publish("start_mailing", pk)
    return bool(started)


def _plan_chunk(mailing_id: int, now: datetime) -> bool:
    """Requeue or plan a chunk of a mailing's messages. Returns whether there are more."""
    is_more = preparing.requeue_chunk(mailing_id, now=now)
    return preparing.plan_chunk(mailing_id, now=now) or is_more


def _start_all() -> None:
    now = clock.now()
    recovery.reclaim_expired(now=now)
    for pk in preparing.mailings_to_visit(now):
        publish("start_mailing", pk)


def _ring_all() -> None:
    """Recover the messages of dead workers, and ring for all mailings with due messages."""
    now = clock.now()
    recovery.replay_orphans(now=now)
    recovery.reclaim_expired(now=now)
    folding.fold_all()
    preparing.find_lost_messages(now=now)
    if control.is_blocked(SendingControl.objects.current(), now):
        return
    for pk in preparing.mailings_to_ring_for(now).values_list("pk", flat=True).order_by("?"):
        doorbells.ring(pk)
