"""Recovery: releases or retries the messages of deliveries that were cut off.

A delivery is cut off when its process is killed, stands still beyond its lease or loses the
database. Its lost messages are made due again, which is a retry under the same id, or become
unconfirmed: see `_mark_unconfirmed`. Answers that come after the lease was reclaimed are written
by `record_late`. See docs/adr/0008-spool-and-leases.md.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.db.models import Exists, OuterRef

from messages_app import services
from messages_app.engine import leasing, spool
from messages_app.engine.bulk import record, release
from messages_app.engine.records import Outcome
from messages_app.ledger.posting import posted, unpacked
from messages_app.models import Doorbell, ErrorCode, Lease, LeasedBatch, Message
from messages_app.sending import pulse
from toolkit.outages import is_outage

CHUNK = 1000  # ids in one query
NO_NUMBERS: Mapping[int, str] = MappingProxyType({})

Status = Message.Status

logger = logging.getLogger(__name__)


def replay_orphans(*, now: datetime) -> None:
    """Write to the database what the spool files of this machine's cut-off deliveries say.

    A file that fails for any other reason than a database that does not answer must not stop all
    sending on this machine: it is tried again a few times, then put aside.
    """
    for spooled in spool.orphans():
        try:
            replay(spooled, now=now)
        except Exception as error:
            if is_outage(error):
                raise
            spooled.error = error


def replay(spooled: spool.SpoolRecord, *, now: datetime) -> None:
    """Write what the spool file of one cut-off delivery says, and end its lease.

    Answers are written, requests without an answer are unclear, and messages whose request had not
    begun are released. Nothing is written if the file is about a mailing that this database does
    not have: it was deleted, or the database was restored from a backup, and its id may be another
    one's now.
    """
    lease = Lease(token=spooled.token, mailing_id=spooled.mailing_id)
    made_at = _mailing_made_at(lease)
    if made_at is None or (spooled.mailing_made_at or made_at) != made_at:
        logger.warning(
            "Mailing %s is not the one of a delivery that ended early; it was deleted, or the "
            "database was restored.",
            spooled.mailing_id,
            extra={"mailing": spooled.mailing_id},
        )
        return
    record(spooled.outcomes, token=lease.token)
    record_late(
        lease,
        sent=spooled.sent,
        outcomes=spooled.outcomes,
        at=spooled.sent_at or now,
        numbers={pk: each.phone_number for pk, each in spooled.begun.items()},
    )
    unanswered = _mark_unconfirmed(spooled.unanswered, lease, now)
    release(_leased_ids(lease), tokens=[lease.token])
    # The task of its doorbell has ended. Without the row, the next tick rings for what is due.
    Doorbell.objects.filter(mailing=lease.mailing_id).delete()
    if not leasing.end([lease]):
        undo_reclaim(_never_begun(spooled, lease), lease, now=now)
    pulse.note(pulse.SPOOL_REPLAYED)
    logger.warning(
        "Mailing %s: a delivery ended early; %s answers were saved, %s requests were open.",
        spooled.mailing_id,
        len(spooled.sent) + len(spooled.outcomes),
        unanswered,
        extra={"mailing": spooled.mailing_id},
    )


def _mailing_made_at(lease: Lease) -> datetime | None:
    """Return when the mailing of a lease was created; None if it was deleted."""
    try:
        return lease.mailing.created_at
    except ObjectDoesNotExist:
        return None


def _never_begun(spooled: spool.SpoolRecord, lease: Lease) -> set[int]:
    """Return the messages reclaimed from a delivery that did not hand over their last attempt."""
    reclaimed = Message.objects.filter(mailing=lease.mailing_id, lease_token=lease.token)
    at_attempt = dict(reclaimed.values_list("pk", "attempts"))
    begun = spooled.begun.items()
    begun_last = {pk for pk, each in begun if each.attempt in (None, at_attempt.get(pk))}
    return at_attempt.keys() - begun_last


def reclaim_expired(*, now: datetime) -> int:
    """End all leases whose time is over, and return the number of messages reclaimed.

    Which of these messages were sent is not known here, so all of them count as sent without an
    answer: see `_mark_unconfirmed`.
    """
    return sum(
        _reclaim(token, now) for token in Lease.objects.expired(now).values_list("pk", flat=True)
    )


def _reclaim(token: int, now: datetime) -> int:
    with transaction.atomic():
        # Locked, so that a worker that wakes up now cannot claim more messages under this lease.
        lease = Lease.objects.filter(pk=token).select_for_update().first()
        if not lease:
            return 0
        number = _mark_unconfirmed(_leased_ids(lease), lease, now)
        leasing.end([lease])
        pulse.note(pulse.LEASE_RECLAIMED)
    logger.warning(
        "Mailing %s: a worker did not come back; it held %s messages.",
        lease.mailing_id,
        number,
        extra={"mailing": lease.mailing_id},
    )
    return number


def reclaim_leaseless(mailing_id: int, *, now: datetime) -> int:
    """Reclaim a mailing's messages whose lease time is over and whose lease has no row; count them.

    There should never be any. But a single one would keep a mailing that is over from being closed
    for ever, and `reclaim_expired` finds messages only by the rows of leases.
    """
    lease = Lease.objects.filter(pk=OuterRef("lease_token"))
    leased = Message.objects.filter(mailing=mailing_id, lease_until__lte=now).unfinished()
    by_token: dict[int, list[int]] = {}
    for pk, token in leased.filter(~Exists(lease)).values_list("pk", "lease_token"):
        by_token.setdefault(token or 0, []).append(pk)
    return sum(
        _mark_unconfirmed(ids, Lease(token=token, mailing_id=mailing_id), now)
        for token, ids in by_token.items()
    )


def undo_reclaim(ids: Collection[int], lease: Lease, *, now: datetime) -> None:
    """Make unconfirmed messages due again whose request had never begun; take back their attempt.

    When the lease was reclaimed, nobody could know that. The delivery that had claimed them does:
    it calls this when it wakes up, or its spool file says so. Left as they are: messages that have
    been claimed or resent since, and everything of a closed or deleted mailing.
    """
    with transaction.atomic():
        if not _lock_unclosed(lease):
            return
        unconfirmed = Message.objects.unleased().filter(error_code=ErrorCode.UNCONFIRMED)
        ours = unconfirmed.filter(pk__in=ids, lease_token=lease.token, status=Status.FAIL)
        messages = list(ours.order_by("pk").select_for_update())
        with posted([message.pk for message in messages]):
            for message in messages:
                _take_back_attempt(message, now)


def _take_back_attempt(message: Message, now: datetime) -> None:
    message.attempt_log.filter(number=message.attempts).delete()
    message.attempts -= 1
    before = message.attempt_log.last()
    message.status = Status.FAIL if before else Status.PENDING
    message.error_code, message.error = (before.error_code, before.error) if before else ("", "")
    message.schedule(now)
    message.lease_token = None
    message.save()


def record_late(
    lease: Lease,
    *,
    sent: Sequence[int],
    outcomes: Sequence[Outcome],
    at: datetime,
    numbers: Mapping[int, str] = NO_NUMBERS,
) -> None:
    """Write answers that came after their lease was reclaimed.

    That the sender accepted a message is always written, with the time `at`. A failure is written
    only if nobody has claimed the message since and its mailing is not closed. `sent` are the ids
    of messages accepted at their first attempt; `numbers`: see `record_accepted_late`.
    """
    accepted = [each.id for each in outcomes if each.status == Status.SUCCESS]
    record_accepted_late([*sent, *accepted], lease.mailing_id, at=at, numbers=numbers)
    failed = [each for each in outcomes if each.status != Status.SUCCESS]
    with transaction.atomic():
        if failed and _lock_unclosed(lease):
            record(failed, token=lease.token, is_late=True)


def record_accepted_late(
    ids: Collection[int],
    mailing_id: int,
    *,
    at: datetime,
    numbers: Mapping[int, str] = NO_NUMBERS,
) -> int:
    """Write that the sender accepted messages, whoever has leased them now; count those written.

    Messages that are a success already are left as they are, and so are those of another mailing or
    with another phone number than in `numbers` (by id): a database restored from a backup gives an
    id to another message. The final counts of a mailing that was closed in the meantime are
    corrected.
    """
    ids = sorted(ids)
    return sum(
        _record_accepted_late(ids[i : i + CHUNK], mailing_id, at, numbers)
        for i in range(0, len(ids), CHUNK)
    )


def _record_accepted_late(
    ids: Sequence[int], mailing_id: int, at: datetime, numbers: Mapping[int, str]
) -> int:
    late = Message.objects.filter(pk__in=ids, mailing=mailing_id).exclude(status=Status.SUCCESS)
    number = 0
    with transaction.atomic():
        # The mailing is locked before its messages, as everywhere (docs/adr/0008).
        if not (first := late.select_related("mailing").first()):
            return 0
        if not _lock_mailing(first):
            return 0
        for message in late.order_by("pk").select_for_update():
            if (numbers.get(message.pk) or message.phone_number) == message.phone_number:
                services.mark_accepted(message, mailing=first.mailing, at=at)
                number += 1
    return number


def _lock_mailing(message: Message) -> bool:
    """Lock a message's mailing until the transaction ends; False if it is deleted."""
    try:
        message.mailing.lock()
    except ObjectDoesNotExist:
        return False
    return True


def _lock_unclosed(lease: Lease) -> bool:
    """Lock a lease's mailing until the transaction ends; False if it is closed or deleted."""
    try:
        lease.mailing.lock()
    except ObjectDoesNotExist:
        return False  # It was deleted, and its messages with it.
    return not lease.mailing.is_closed


def _leased_ids(lease: Lease) -> list[int]:
    """Return the messages that are leased under a lease, from the batches that it has claimed.

    An earlier version, whose tokens are above 0, notes no batches: there the queue is searched.
    """
    leased = Message.objects.leased_under(lease)
    if lease.token > 0:
        return list(leased.values_list("pk", flat=True))
    batches = LeasedBatch.objects.filter(token=lease.token).values_list("message_ids", flat=True)
    found: set[int] = set()
    for ids in batches:
        found.update(leased.filter(pk__in=unpacked(ids)).values_list("pk", flat=True))
    return sorted(found)


def _mark_unconfirmed(ids: Collection[int], lease: Lease, now: datetime) -> int:
    """Write that messages may have been sent, and the answer was not received; count them.

    With a sender that drops repeated ids they are retried at once under the same id. With any other
    sender they are unconfirmed and not retried until an operator decides (docs/sender-api.md).
    """
    retry_at = now if settings.MESSAGE_SENDER_IDEMPOTENT else None
    outcomes = [
        Outcome(
            pk,
            Status.FAIL,
            next_attempt_at=retry_at,
            error_code=ErrorCode.UNCONFIRMED,
            error="The worker stopped before the answer came.",
            is_unclear=True,
            awaits_answer=True,
        )
        for pk in ids
    ]
    return record(outcomes, token=lease.token)
