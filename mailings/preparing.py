"""Preparing: finds the mailings that have something to do, starts and plans them, step by step."""

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from types import MappingProxyType

from django.conf import settings
from django.db import transaction
from django.db.models import Case, Exists, OuterRef, Q, QuerySet, When

from clients.models import Client
from mailings import events
from mailings.models import Mailing
from mailings.stats import is_unfinished
from messages_app import requeueing, waiting
from messages_app.engine import planning
from messages_app.ledger.accounts import PENDING, RETRY
from messages_app.mailing_snapshot import MailingSnapshot, Snapshots
from messages_app.models import Balance, Doorbell, Lease
from toolkit import clock
from toolkit.history.models import Deed
from toolkit.history.recording import record_deeds

JUST_NOW = timedelta(seconds=5)  # after which the tick comes by
STARTED_AT_ONCE = 50  # mailings that one transaction starts
PLAN_CHUNK = 5_000  # messages planned in one transaction
REPLAN_CHUNK = 20_000  # clients looked through in one transaction, most of whom have a message

Status = Mailing.Status

logger = logging.getLogger(__name__)


def mailings_to_visit(now: datetime) -> list[int]:
    """Return the ids of mailings that start_mailing is to be queued for, in any order.

    They are those to plan and to ring for, and of those to start so many that each takes others
    along until all are started.
    """
    mailings = Mailing.objects
    visited = mailings.to_plan(now) | mailings.to_requeue() | mailings_to_ring_for(now)
    to_start = mailings.to_start(now).order_by("start_time", "pk").values_list("pk", flat=True)
    return [
        *visited.order_by("?").values_list("pk", flat=True),
        *to_start[::STARTED_AT_ONCE],
    ]


def is_to_visit(mailing_id: int, now: datetime) -> bool:
    """Tell whether a mailing is to be planned or to be rung for.

    It asks for one thing after the other: of a thousand mailings that start at once nearly all have
    been planned along with others when their own task runs.
    """
    mailing = Mailing.objects.filter(pk=mailing_id).first()
    if not mailing or mailing.is_ended:
        return False
    if mailing.deferred_up_to is not None or mailing.failed_up_to is not None:
        return True
    if not mailing.is_running or not mailing.start_time <= now < mailing.stop_time:
        return False
    planned_at = mailing.last_run_time
    if planned_at is None or planned_at <= now - settings.MAILING_REPEAT_TIMEOUT:
        return True
    if planned_at > max(mailing.updated_at, now - JUST_NOW):
        return False  # Whoever planned it has rung for it.
    if Doorbell.objects.live(now).filter(mailing=mailing_id).exists():
        return False
    return bool(waiting.mailings_due([mailing_id], now=now))


def mailings_to_ring_for(now: datetime) -> "QuerySet[Mailing]":
    """Return the running mailings that may have due messages and have no live doorbell."""
    bells = Doorbell.objects.filter(mailing=OuterRef("pk")).live(now)
    return Mailing.objects.running(now).filter(waiting.someone_may_be_due(now), ~Exists(bells))


def find_lost_messages(*, now: datetime) -> None:
    """Queue messages of running mailings that the line has passed although nobody took them.

    It looks at mailings that by the ledger are not done, and of which nothing waits or is leased.
    """
    unsent = Q(account__startswith=f"{PENDING}|") | Q(account__startswith=f"{RETRY}|")
    mine = {"mailing_id": OuterRef("pk")}
    quiet = Mailing.objects.running(now).filter(
        ~Exists(Lease.objects.filter(**mine)),
        waiting.nobody_is_queued(),
        Exists(Balance.objects.filter(unsent, **mine, number__gt=0)),
    )
    for mailing in quiet.exclude(ledger_at=None):
        if waiting.line(mailing.pk).exists() or not is_unfinished(mailing):
            continue
        if number := waiting.find_lost(mailing.pk):
            logger.warning(
                "Mailing %s: %s messages were passed over; they are due.",
                mailing.pk,
                number,
                extra={"mailing": mailing.pk},
            )


def read_running(
    ids: Collection[int], now: datetime, *, known: Snapshots = MappingProxyType({})
) -> dict[int, MailingSnapshot]:
    """Return those of the mailings that are running and within their time, as they are now.

    Of those that were not edited since the snapshot in `known`, that is returned: a delivery looks
    ten times a second, and a text may be long.
    """
    same = {pk: known[pk] for pk in Mailing.objects.still_running(known.values(), now)}
    if not (others := [pk for pk in ids if pk not in same]):
        return same
    running = Mailing.objects.running(now).filter(pk__in=others)
    return same | {mailing.pk: mailing.snapshot(now) for mailing in running}


def is_any_to_start() -> bool:
    """Tell whether a mailing waits for start_mailing, which this process may serve, too."""
    return Mailing.objects.is_any_to_start(clock.now())


def is_taken_along(mailing: Mailing, now: datetime) -> bool:
    """Tell whether a start task that is queued already starts this mailing, too.

    It was committed when another one, of a smaller id, still waited after its own commit just now.
    Whoever starts that one looks again afterwards (`start_waiting`, until none is left). Only a
    smaller id counts, lest two rely on each other.
    """
    if mailing.status != Status.SCHEDULED or not mailing.start_time <= now < mailing.stop_time:
        return False
    earlier = Mailing.objects.to_start(now).filter(pk__lt=mailing.pk)
    return earlier.filter(updated_at__gt=now - JUST_NOW).exists()


def start_waiting(mailing_id: int, *, now: datetime) -> dict[int, int | None]:
    """Set a mailing running, and others along with it whose time has come; plan the small ones.

    Of several calls at once, each takes others.

    Returns:
        {id of a mailing that was started: number of messages planned, or None where it is left to
        be planned in chunks}. Empty when none waits, or when another call has taken those left.
    """
    if not Mailing.objects.is_any_to_start(now):
        return {}
    with transaction.atomic():
        first = Case(When(pk=mailing_id, then=0), default=1)
        waiting = Mailing.objects.to_start(now).order_by(first, "start_time", "pk")
        started = list(waiting.select_for_update(skip_locked=True, no_key=True)[:STARTED_AT_ONCE])
        of_these = Mailing.objects.filter(pk__in=[mailing.pk for mailing in started])
        of_these.update(status=Status.RUNNING)
        for mailing in started:
            mailing.status = Status.RUNNING
        record_deeds(Deed.STARTED, started)
        events.record("started", started)
        new = [
            planning.NewMailing(mailing.pk, mailing.filters)
            for mailing in started
            if not mailing.window and not mailing.resends_id
        ]
        planned = planning.plan_small(new, now=now)
        of_these.filter(pk__in=planned).update(last_run_time=now)
    return {mailing.pk: planned.get(mailing.pk) for mailing in started}


def plan_chunk(mailing_id: int, *, now: datetime) -> bool:
    """Plan messages for the next clients, a chunk of them. Returns whether more clients are left.

    The last client planned is saved with the mailing in the same transaction, so the next call goes
    on from there even if this process dies. Of several calls for one mailing at once, one plans
    and the others return False.
    """
    with transaction.atomic():
        mailing = (
            Mailing.objects.filter(pk=mailing_id)
            .to_plan(now)
            .select_for_update(skip_locked=True, no_key=True)
            .first()
        )
        if not mailing:
            return False
        audience, last = _next_clients(mailing)
        planning.plan(mailing_id=mailing_id, audience=audience, window=mailing.window, now=now)
        mailing.planned_up_to = last or 0
        mailing.last_run_time = mailing.last_run_time if last else now
        mailing.save(update_fields=["planned_up_to", "last_run_time"])
        return last is not None


def _next_clients(mailing: Mailing) -> tuple[QuerySet[Client], int | None]:
    """Return the next clients that a mailing is planned for, and the last one if more follow."""
    audience = Client.objects.matching(mailing.filters)
    if mailing.resends_id:
        ids, last = requeueing.clients_of_failed(
            mailing.resends_id, after=mailing.planned_up_to, codes=mailing.resent_codes
        )
        # With 0, which nobody has: of an empty list Django makes no statement to insert from.
        return audience.filter(pk__in=[0, *ids]), last
    audience = audience.filter(pk__gt=mailing.planned_up_to)
    size = REPLAN_CHUNK if mailing.last_run_time else PLAN_CHUNK
    last = audience.order_by("pk").values_list("pk", flat=True)[size - 1 :].first()
    return (audience.filter(pk__lte=last) if last else audience), last


def requeue_chunk(mailing_id: int, *, now: datetime) -> bool:
    """Make messages due again that an edit has given another chance, a chunk of them.

    Where it goes on is saved with the mailing in the same transaction. Of several calls for one
    mailing at once, one does it and the others return False.

    Returns:
        Whether there is more to do.
    """
    with transaction.atomic():
        mailing = (
            Mailing.objects.filter(pk=mailing_id)
            .to_requeue()
            .select_for_update(skip_locked=True, no_key=True)
            .first()
        )
        if not mailing:
            return False
        if mailing.deferred_up_to is not None:
            mailing.deferred_up_to = requeueing.requeue_deferred(
                mailing_id, after=mailing.deferred_up_to, window=mailing.window, now=now
            )
        elif mailing.failed_up_to is not None:
            mailing.failed_up_to = requeueing.requeue_failed(
                mailing_id, after=mailing.failed_up_to, codes=mailing.requeued_codes or [], now=now
            )
        mailing.save(update_fields=["deferred_up_to", "failed_up_to"])
        return (mailing.deferred_up_to, mailing.failed_up_to) != (None, None)
