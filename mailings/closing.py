"""Closing: fails what is left of a mailing that is over, and clears away a deleted one.

It goes in chunks, each a transaction of its own, so that no lock is held for long however many
messages a mailing has.
"""

from datetime import datetime
from math import inf

from django.db import transaction

from mailings import events
from mailings.bookkeeping import take_in
from mailings.models import Mailing
from mailings.schedules import forget_schedule
from mailings.stats import balances_of, count_of, is_unfinished
from messages_app import services as messages
from messages_app import waiting
from messages_app.engine import recovery
from messages_app.models import Attempt, ErrorCode, Message
from messages_app.sql import index_scans_only
from messages_app.stats import by_status, complete_counts
from toolkit import clock
from toolkit.clock import monotonic
from toolkit.history.models import Deed
from toolkit.history.recording import record_deed

CLEAR_CHUNK = 2_000  # messages of a deleted mailing that one transaction deletes
# A mailing of up to so many messages is compared with the ledger when it is closed. Of a larger one
# that would keep the task from other mailings for seconds; the audit compares them all.
COMPARED_AT_CLOSING = 1_000_000

Status = Mailing.Status


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
        write_final(mailing)


def write_final(mailing: Mailing) -> None:
    """Write the final counts and the status of a mailing that the caller has locked."""
    counts = complete_counts(by_status(balances_of([mailing])[mailing.pk]))
    mailing.success_count, mailing.fail_count = counts["success"], counts["fail"]
    if mailing.status != Status.CANCELLED:
        mailing.status = Status.FINISHED
        record_deed(Deed.FINISHED, mailing, details=dict(counts))
        events.record("finished", [mailing])
    mailing.result_changed_at = clock.now()
    mailing.save(update_fields=["success_count", "fail_count", "status", "result_changed_at"])
    forget_schedule(mailing)
