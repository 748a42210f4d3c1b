"""What can be done with mailings: save, start, plan, pause, resume, resend, cancel, end, delete."""

import json
import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from math import inf
from types import MappingProxyType

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Case, Exists, OuterRef, Q, QuerySet, When
from django_celery_beat.models import ClockedSchedule, PeriodicTask

from clients.models import Client
from mailings.bookkeeping import is_former_at_work, take_in
from mailings.models import FormerText, Mailing
from mailings.stats import balances_of, count_of, is_unfinished
from messages_app import requeueing, waiting
from messages_app import services as messages
from messages_app.engine import planning, recovery
from messages_app.ledger import folding
from messages_app.ledger.accounts import PENDING, RETRY
from messages_app.mailing_snapshot import MailingSnapshot, Snapshots
from messages_app.models import Attempt, Balance, Doorbell, ErrorCode, Lease, Message
from messages_app.sql import index_scans_only
from messages_app.stats import by_status, complete_counts, failures
from toolkit import clock
from toolkit.clock import monotonic

JUST_NOW = timedelta(seconds=5)  # after which the tick comes by
STARTED_AT_ONCE = 50  # mailings that one transaction starts
PLAN_CHUNK = 5_000  # messages planned in one transaction
CLEAR_CHUNK = 2_000  # messages of a deleted mailing that one transaction deletes
# A mailing of up to so many messages is compared with the ledger when it is closed. Of a larger one
# that would hold up other mailings for seconds; the audit compares them all.
COMPARED_AT_CLOSING = 1_000_000
REQUEUE_FAILED = ("failed_up_to", "requeued_codes")  # the columns that _requeue_failed sets
REPLAN_CHUNK = 20_000  # clients looked through in one transaction, most of whom have a message
# The fields that an operator can edit. Derived from the model: a field missing here would be shown
# as changed in the answer to a PATCH, and not be saved.
EDITABLE = tuple(
    field.name
    for field in Mailing._meta.concrete_fields
    if field.editable and not field.auto_created
)

Status = Mailing.Status

logger = logging.getLogger(__name__)


def draft_resending(mailing: Mailing, *, now: datetime) -> Mailing:
    """Return a new mailing, not saved yet, to whom a message of this one failed for good."""
    return Mailing(
        resends=mailing,
        start_time=now,
        text=mailing.text,
        window_start=mailing.window_start,
        window_end=mailing.window_end,
    )


def create_mailing(mailing: Mailing, *, now: datetime) -> Mailing:
    """Save a new mailing and schedule its start.

    Raises:
        ValidationError: its stop time has passed, or it resends a mailing that is not over.
    """
    if mailing.stop_time <= now:
        passed = ValidationError(
            "The stop time has passed; nothing could be sent.", code="stop_in_the_past"
        )
        raise ValidationError({"stop_time": passed})
    if is_former_at_work(now):
        # Its workers know messages by their own ids only, and may be the only ones yet.
        mailing.sender_key = None
    with transaction.atomic():
        if mailing.resends:
            _refuse_resending(_lock(mailing.resends), now)
        mailing.save()
        _schedule_start(mailing, now)
    return mailing


def _refuse_resending(original: Mailing, now: datetime) -> None:
    """Refuse to send again in a new mailing what failed in this one, which the caller has locked.

    Raises:
        ValidationError: it is not over, or workers of an earlier version were seen just now.
    """
    if not original.is_over_at(now):
        raise ValidationError(
            f"Mailing {original.pk} is not over. Send its failed messages again in itself.",
            code="mailing_not_over",
        )
    if is_former_at_work(now):
        # They do not know `resends`, and would send to everybody whom the filters select.
        raise ValidationError(
            "Workers of an earlier version are still at work. Try again when they have stopped.",
            code="update_under_way",
        )


def edit_mailing(mailing: Mailing, *, now: datetime) -> Mailing:
    """Save an edited mailing; the edit applies to all messages that are not sent yet.

    Edited filters have all clients planned again. Edited filters or windows make messages due that
    were put off, and a later stop time makes those due that had no time left for a retry:
    start_mailing does that, step by step (`requeue_chunk`).

    Raises:
        ValidationError: it is over or past its stop time, was edited by somebody else since it was
            read, or has started and its start time was edited.
    """
    with transaction.atomic():
        before = _lock(mailing)
        _refuse_edit(mailing, before, now)
        edited = [*EDITABLE, "updated_at"]
        if mailing.filters != before.filters:
            # All clients are planned again; those that have a message already keep it.
            mailing.last_run_time, mailing.planned_up_to = None, 0
            edited += ["last_run_time", "planned_up_to"]
        if mailing.text != before.text:
            _keep_text(before, now)
            mailing.text_version = before.text_version + 1
            edited += ["text_version"]
        if (mailing.filters, mailing.window) != (before.filters, before.window):
            mailing.deferred_up_to = 0
            edited += ["deferred_up_to"]
        if mailing.stop_time > before.stop_time:
            _requeue_failed(mailing, requeueing.transient_codes())
            edited += REQUEUE_FAILED
        mailing.save(update_fields=edited)
        _forget_schedule(mailing)
        _schedule_start(mailing, now)
    return mailing


def _refuse_edit(mailing: Mailing, before: Mailing, now: datetime) -> None:
    """Refuse an edit that comes too late, given the mailing as it stands in the database.

    Raises:
        ValidationError: see `edit_mailing`.
    """
    if before.is_ended:
        raise _conflict(before, "edited")
    if before.stop_time <= now:
        raise ValidationError(
            "The stop time has passed; the mailing does not change any more.",
            code="mailing_over",
        )
    if before.updated_at != mailing.updated_at:
        raise ValidationError(
            "Somebody else changed this mailing meanwhile. Look at it again, then edit it.",
            code="mailing_changed_meanwhile",
        )
    if mailing.start_time != before.start_time and before.start_time <= now:
        started = ValidationError(
            "The mailing has started; its start time cannot change.", code="mailing_started"
        )
        raise ValidationError({"start_time": started})


def _keep_text(mailing: Mailing, now: datetime) -> None:
    """Keep the text of a mailing that is about to be edited: messages may have gone out with it."""
    FormerText.objects.get_or_create(
        mailing=mailing,
        version=mailing.text_version,
        defaults={"text": mailing.text, "replaced_at": now},
    )


def pause_mailing(mailing: Mailing) -> Mailing:
    """Pause a mailing: nothing is sent until it is resumed. Pausing it twice changes nothing.

    Raises:
        ValidationError: the mailing is over.
    """
    return _change_status(mailing, Status.PAUSED, "paused")


def resume_mailing(mailing: Mailing, *, now: datetime) -> Mailing:
    """Resume a paused mailing. Resuming one that is not paused changes nothing.

    Raises:
        ValidationError: the mailing is over.
    """
    started = Status.RUNNING if mailing.start_time <= now else Status.SCHEDULED
    with transaction.atomic():
        mailing = _change_status(mailing, started, "resumed")
        _forget_schedule(mailing)
        _schedule_start(mailing, now)
    return mailing


def cancel_mailing(mailing: Mailing) -> Mailing:
    """Cancel a mailing for good. Messages in flight are still delivered, all others fail.

    Raises:
        ValidationError: the mailing is finished.
    """
    return _change_status(mailing, Status.CANCELLED, "cancelled")


def resend_failed(mailing: Mailing, *, codes: Collection[str] = ()) -> int:
    """Make messages due again that failed for good: all, or those with one of these reasons.

    start_mailing does it, step by step (`requeue_chunk`). A sender that does not drop repeats
    delivers an `unconfirmed` one a second time, if it did arrive.

    Returns:
        The number of such messages now.

    Raises:
        ValidationError: the mailing is not running.
    """
    with transaction.atomic():
        mailing = _lock(mailing)
        if not mailing.is_running:
            raise ValidationError(
                f"The mailing is {mailing.status}. What failed is sent again while it runs, and "
                "as a new mailing, with a stop time, once it is over.",
                code="mailing_not_running",
            )
        failed = {
            code: number
            for code, number in failures(balances_of([mailing])[mailing.pk]).items()
            if not codes or code in codes
        }
        if failed:
            _requeue_failed(mailing, list(failed))
            mailing.save(update_fields=REQUEUE_FAILED)
    return sum(failed.values())


def end_mailing(mailing: Mailing) -> Mailing:
    """Finish a mailing of which everything is sent, before its stop time.

    Raises:
        ValidationError: it is over, or messages of it are still to be sent.
    """
    with transaction.atomic():
        mailing = _lock(mailing)
        if mailing.status == Status.FINISHED:
            return mailing
        if mailing.is_ended:
            raise _conflict(mailing, "finished")
        if not mailing.is_looked_through or is_unfinished(mailing):
            raise ValidationError(
                "Messages of this mailing are still to be sent. Wait for them, or cancel it.",
                code="mailing_incomplete",
            )
        _write_final(mailing)
    return mailing


def delete_mailing(mailing: Mailing, *, now: datetime) -> Mailing:
    """Delete a mailing: it disappears now, and finish_mailing clears its messages away.

    Raises:
        ValidationError: it is running, messages of it are in flight, or a mailing that resends it
            is not planned yet.
    """
    with transaction.atomic():
        mailing = _lock(mailing)
        if mailing.status == Status.RUNNING:
            raise ValidationError(
                "The mailing is running. Cancel it first.", code="mailing_running"
            )
        if mailing.leases.exists():
            raise ValidationError(
                "Messages of this mailing are on their way. Try again in a minute.",
                code="mailing_in_flight",
            )
        if unplanned := Mailing.objects.to_resend(mailing.pk).first():
            raise ValidationError(
                f"Mailing {unplanned.pk} is to send again what failed in this one, and its clients "
                "are not looked through yet. Wait for that, or cancel it.",
                code="mailing_resent",
            )
        _forget_schedule(mailing)
        mailing.status, mailing.deleted_at = Status.CANCELLED, now
        mailing.save(update_fields=["status", "deleted_at"])
        folding.forget(mailing.pk)
        return mailing


def mailings_to_visit(now: datetime) -> "QuerySet[Mailing]":
    """Return the mailings that start_mailing has work for: to start, to plan, or to ring for."""
    mailings = Mailing.objects
    to_prepare = mailings.to_start(now) | mailings.to_plan(now) | mailings.to_requeue()
    return to_prepare | mailings_to_ring_for(now)


def is_to_visit(mailing_id: int, now: datetime) -> bool:
    """Tell whether a mailing is one of `mailings_to_visit`, but for those that are to start.

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
        ~Exists(Message.objects.filter(**mine).queued()),
        Exists(Balance.objects.filter(unsent, **mine, number__gt=0)),
    )
    for mailing in quiet.exclude(ledger_at=None):
        if waiting.line(mailing.pk).exists() or not is_unfinished(mailing):
            continue
        if number := waiting.find_lost(mailing.pk):
            logger.warning(
                "Mailing %s: %s messages were passed over; they are due.", mailing.pk, number
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


def start_waiting(mailing_id: int, *, now: datetime) -> dict[int, int]:
    """Set a mailing running, and others along with it whose time has come; plan the small ones.

    Of several calls at once, each takes others.

    Returns:
        {mailing's id: number of messages planned}, of those that are planned to the end.
    """
    if not Mailing.objects.is_any_to_start(now):
        return {}
    with transaction.atomic():
        first = Case(When(pk=mailing_id, then=0), default=1)
        waiting = Mailing.objects.to_start(now).order_by(first, "start_time", "pk")
        started = list(waiting.select_for_update(skip_locked=True, no_key=True)[:STARTED_AT_ONCE])
        of_these = Mailing.objects.filter(pk__in=[mailing.pk for mailing in started])
        of_these.update(status=Status.RUNNING)
        new = [
            planning.NewMailing(mailing.pk, mailing.filters)
            for mailing in started
            if not mailing.window and not mailing.resends_id
        ]
        planned = planning.plan_small(new, now=now)
        of_these.filter(pk__in=planned).update(last_run_time=now)
    return planned


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


def _requeue_failed(mailing: Mailing, codes: Collection[str]) -> None:
    """Note that messages that failed with one of these reasons are to be made due again.

    With what was noted before and is not done yet. The caller saves REQUEUE_FAILED.
    """
    noted = mailing.requeued_codes or [] if mailing.failed_up_to is not None else []
    mailing.failed_up_to, mailing.requeued_codes = 0, sorted({*noted, *codes})


def finish_mailing(mailing_id: int, *, now: datetime, ends_at: float = inf) -> bool:
    """Fail the unsent messages of a mailing that is over, and close it once none is leased.

    A deleted mailing is cleared away instead. It works in chunks until `ends_at`, in seconds of
    `monotonic`.

    Returns:
        Whether there is more to do.
    """
    while _finish_chunk(mailing_id, now) or _clear_chunk(mailing_id):
        if monotonic() > ends_at:
            return True
    return False


def _finish_chunk(mailing_id: int, now: datetime) -> bool:
    """Take one step towards the end of a mailing. Returns whether there are more."""
    with transaction.atomic():
        over = Mailing.objects.filter(pk=mailing_id).to_close(now)
        # Locked before its messages, as everywhere: whoever else does so cannot come crosswise.
        mailing = over.select_for_update(no_key=True).first()
        if not mailing:
            return False
        is_cancelled = mailing.status == Status.CANCELLED
        error_code = ErrorCode.CANCELLED if is_cancelled else ErrorCode.EXPIRED
        if messages.fail_unsent(mailing.snapshot(now), error_code):
            return True
    is_left = is_unfinished(mailing)
    if is_left:
        if mailing.leases.exists():
            return False  # They are on their way.
        if waiting.find_lost(mailing_id) or recovery.reclaim_leaseless(mailing_id, now=now):
            return True
    waiting.mend_queue(mailing_id)
    if is_left or mailing.ledger_at is None or count_of(mailing) <= COMPARED_AT_CLOSING:
        take_in(mailing, now=now)
    _close(mailing_id, now)
    return False


def _clear_chunk(mailing_id: int) -> bool:
    """Delete some messages of a deleted mailing, at last the mailing. Returns whether to go on."""
    mailing = Mailing.including_deleted.deleted().filter(pk=mailing_id).first()
    if not mailing:
        return False
    with transaction.atomic():
        with index_scans_only():
            queue = Message.objects.filter(mailing=mailing_id).order_by("mailing_id", "client_id")
            ids = list(queue.values_list("pk", flat=True)[:CLEAR_CHUNK])
        Attempt.objects.filter(message__in=ids).delete()
        # Not `delete`, which would load them. Nothing else refers to messages.
        Message.objects.filter(pk__in=ids)._raw_delete(Message.objects.db)
        if not ids:
            mailing.delete()
    return bool(ids)


def _close(mailing_id: int, now: datetime) -> None:
    """Close a mailing: write its final counts, unless messages of it are still unfinished."""
    with transaction.atomic():
        over = Mailing.objects.filter(pk=mailing_id).to_close(now)
        # Selected again under the lock: its stop time may have been moved, or it was deleted.
        mailing = over.select_for_update(no_key=True).first()
        if not mailing or is_unfinished(mailing):
            return
        _write_final(mailing)


def _write_final(mailing: Mailing) -> None:
    """Write the final counts and the status of a mailing that the caller has locked."""
    counts = complete_counts(by_status(balances_of([mailing])[mailing.pk]))
    mailing.success_count, mailing.fail_count = counts["success"], counts["fail"]
    if mailing.status != Status.CANCELLED:
        mailing.status = Status.FINISHED
    mailing.save(update_fields=["success_count", "fail_count", "status"])
    _forget_schedule(mailing)


def _change_status(mailing: Mailing, status: Mailing.Status, action: str) -> Mailing:
    with transaction.atomic():
        mailing = _lock(mailing)
        if mailing.status == status:
            return mailing
        if mailing.is_ended:
            raise _conflict(mailing, action)
        mailing.status = status
        mailing.save(update_fields=["status", "updated_at"])
        return mailing


def _conflict(mailing: Mailing, action: str) -> ValidationError:
    return ValidationError(
        f"The mailing is {mailing.status} and cannot be {action}.", code=f"mailing_{mailing.status}"
    )


def _lock(mailing: Mailing) -> Mailing:
    """Return the mailing as it is now, locked until the transaction ends."""
    locked: Mailing = Mailing.objects.select_for_update(no_key=True).get(pk=mailing.pk)
    return locked


def _schedule_start(mailing: Mailing, now: datetime) -> None:
    """Have beat queue start_mailing at the mailing's start time, and not only at the next tick.

    It has no schedule yet. One that starts at once needs none.
    """
    if mailing.status == Status.SCHEDULED and mailing.start_time > now:
        clocked = ClockedSchedule.objects.create(clocked_time=mailing.start_time)
        PeriodicTask.objects.create(
            name=_schedule_name(mailing),
            task="start_mailing",
            args=json.dumps([mailing.pk]),
            clocked=clocked,
            one_off=True,
        )


def _forget_schedule(mailing: Mailing) -> None:
    # Its PeriodicTask is deleted by cascade.
    ClockedSchedule.objects.filter(periodictask__name=_schedule_name(mailing)).delete()


def _schedule_name(mailing: Mailing) -> str:
    return f"start mailing {mailing.pk} on time"
