"""What becomes of messages whose delivery did not come back, and of answers that come late."""

import logging
from collections.abc import Collection, Sequence
from datetime import datetime

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.db.models import Exists, OuterRef

from messages_app import services
from messages_app.engine import spool
from messages_app.engine.bulk import record, release
from messages_app.engine.records import Outcome
from messages_app.models import Doorbell, ErrorCode, Lease, Message

CHUNK = 1000  # messages that one query names

Status = Message.Status

logger = logging.getLogger(__name__)


def replay_orphans(*, now: datetime) -> None:
    """Write what deliveries of this machine had done when they were killed or lost the database.

    What they held and had not handed over yet is free again.
    """
    for story in spool.orphans():
        replay(story, now=now)


def replay(story: spool.SpoolRecord, *, now: datetime) -> None:
    """Write what one delivery had done, and end its lease."""
    lease = Lease(token=story.token, mailing_id=story.mailing_id)
    record(story.outcomes, token=lease.token)
    record_late(lease, sent=story.sent, outcomes=story.outcomes, at=story.sent_at or now)
    unclear = _mark_unconfirmed(story.unanswered, lease, now)
    release(_leased_ids(lease), token=lease.token)
    # Its doorbell is heard no more; without one, what is due is rung for.
    Doorbell.objects.filter(mailing=lease.mailing_id).delete()
    if not Lease.objects.filter(pk=lease.pk).delete()[0]:
        taken_back = Message.objects.filter(mailing=lease.mailing_id, lease_token=lease.token)
        undo_reclaim(set(taken_back.values_list("pk", flat=True)) - story.begun, lease, now=now)
    logger.warning(
        "Mailing %s: a delivery ended early; %s answers were saved, %s requests were open.",
        story.mailing_id,
        len(story.sent) + len(story.outcomes),
        unclear,
    )


def reclaim_expired(*, now: datetime) -> int:
    """End the leases of deliveries that did not come back in time; count the messages freed.

    Nobody here knows which of them were handed over: with a sender that drops repeats they are
    due again under the same ids, with another one they are held for the operator.
    """
    return sum(
        _reclaim(token, now) for token in Lease.objects.expired(now).values_list("pk", flat=True)
    )


def _reclaim(token: int, now: datetime) -> int:
    with transaction.atomic():
        # Locked, so that the worker, should it wake, claims nothing more under it meanwhile.
        lease = Lease.objects.filter(pk=token).select_for_update().first()
        if not lease:
            return 0
        number = _mark_unconfirmed(_leased_ids(lease), lease, now)
        lease.delete()
    logger.warning(
        "Mailing %s: a worker did not come back; it held %s messages.", lease.mailing_id, number
    )
    return number


def reclaim_leaseless(mailing_id: int, *, now: datetime) -> int:
    """Free what a mailing's messages are held by that has no lease any more; count them.

    It should never find anything. If it did not look, one such message would keep a mailing that
    is over from being closed, for ever.
    """
    lease = Lease.objects.filter(pk=OuterRef("lease_token"))
    held = Message.objects.filter(mailing=mailing_id, lease_until__lte=now).unfinished()
    strays: dict[int, list[int]] = {}
    for pk, token in held.filter(~Exists(lease)).values_list("pk", "lease_token"):
        strays.setdefault(token or 0, []).append(pk)
    return sum(
        _mark_unconfirmed(ids, Lease(token=token, mailing_id=mailing_id), now)
        for token, ids in strays.items()
    )


def undo_reclaim(ids: Collection[int], lease: Lease, *, now: datetime) -> None:
    """Make messages due again that were taken back as unclear, but never handed over.

    Only the delivery that had claimed them knows; it tells when it wakes, or by its spool.
    """
    with transaction.atomic():
        if not _lock_unclosed(lease):
            return
        unclear = Message.objects.unleased().filter(error_code=ErrorCode.UNCONFIRMED)
        ours = unclear.filter(pk__in=ids, lease_token=lease.token, status=Status.FAIL)
        for message in ours.order_by("pk").select_for_update():
            message.attempt_log.filter(number=message.attempts).delete()
            message.attempts -= 1
            before = message.attempt_log.last()
            message.status = Status.FAIL if before else Status.PENDING
            message.error_code, message.error = (
                (before.error_code, before.error) if before else ("", "")
            )
            message.next_attempt_at, message.lease_token = now, None
            message.save()


def record_late(
    lease: Lease, *, sent: Sequence[int], outcomes: Sequence[Outcome], at: datetime
) -> None:
    """Write what can still be written of answers whose messages were taken back meanwhile.

    Failures count only if nobody has claimed the message since, and the mailing is not closed.
    """
    taken = [each.id for each in outcomes if each.status == Status.SUCCESS]
    record_accepted_late([*sent, *taken], at=at)
    failed = [each for each in outcomes if each.status != Status.SUCCESS]
    with transaction.atomic():
        if failed and _lock_unclosed(lease):
            record(failed, token=lease.token, is_late=True)


def record_accepted_late(ids: Collection[int], *, at: datetime) -> int:
    """Write that the sender has taken messages, whatever became of them meanwhile; count them.

    For answers that come when the message belongs to nobody or to somebody else: that it arrived
    is a fact. A mailing that was closed in the meantime has its counts put right.
    """
    ids = sorted(ids)
    return sum(_record_accepted_late(ids[i : i + CHUNK], at) for i in range(0, len(ids), CHUNK))


def _record_accepted_late(ids: Sequence[int], at: datetime) -> int:
    late = Message.objects.filter(pk__in=ids).exclude(status=Status.SUCCESS).order_by("pk")
    number = 0
    for mailing_id in sorted(set(late.order_by().values_list("mailing", flat=True))):
        of_mailing = late.filter(mailing=mailing_id)
        with transaction.atomic():
            if not (first := of_mailing.select_related("mailing").first()):
                continue  # Somebody else was faster.
            first.mailing.lock()
            for message in of_mailing.select_for_update():
                services.mark_accepted(message, mailing=first.mailing, at=at)
                number += 1
    return number


def _lock_unclosed(lease: Lease) -> bool:
    """Lock the mailing of a lease until the transaction ends; tell whether it is not closed."""
    try:
        lease.mailing.lock()
    except ObjectDoesNotExist:
        return False  # It was deleted, and its messages with it.
    return not lease.mailing.is_closed


def _leased_ids(lease: Lease) -> list[int]:
    return list(Message.objects.leased_under(lease).values_list("pk", flat=True))


def _mark_unconfirmed(ids: Collection[int], lease: Lease, now: datetime) -> int:
    """Say of messages that nobody knows whether they arrived; count them."""
    again_at = now if settings.MESSAGE_SENDER_IDEMPOTENT else None
    outcomes = [
        Outcome(
            pk,
            Status.FAIL,
            next_attempt_at=again_at,
            error_code=ErrorCode.UNCONFIRMED,
            error="The worker stopped before the answer came.",
            is_unclear=True,
            awaits_answer=True,
        )
        for pk in ids
    ]
    return record(outcomes, token=lease.token)
