"""What can be done with messages: add, move, withdraw, resend, confirm, fail."""

from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.lookups import IsNull
from django.utils.translation import gettext as _

from clients.models import Client
from messages_app import arrivals, waiting
from messages_app.ledger.accounts import NOWHERE
from messages_app.ledger.posting import (
    ACCOUNT_COLUMNS,
    Move,
    account_from,
    account_of,
    accounts_of,
    post,
    posted,
)
from messages_app.mailing_snapshot import MailingSnapshot
from messages_app.models import Attempt, ErrorCode, Message, Withdrawal
from messages_app.sql import has_id, index_scans_only, update_returning
from toolkit.history.models import Deed
from toolkit.history.recording import differences, record_deed, values_of

if TYPE_CHECKING:
    from mailings.models import Mailing

FAIL_CHUNK = 2_000  # messages that one transaction fails
ACCEPTED = (  # the columns that `arrivals.accept` writes
    *("status", "sent_at", "next_attempt_at", "queued_at", "lease_token", "lease_until"),
    *("error_code", "error"),
)


def add_message(*, mailing: "Mailing", client: Client, now: datetime) -> Message:
    """Add one client to a mailing by hand, whatever the filters say.

    Raises:
        ValidationError: the mailing is over.
    """
    with transaction.atomic():
        _lock_open(mailing, now)
        message = _save_manual(Message(mailing=mailing, client=client), now)
        post(mailing.pk, [Move(message.pk, NOWHERE, account_of(message))])
        record_deed(Deed.CREATED, message, changes=differences({}, _address(message)))
        return message


def move_message(message: Message, *, mailing: "Mailing", client: Client, now: datetime) -> Message:
    """Address a message that was never handed to the sender to another client or mailing.

    Raises:
        ValidationError: it was handed to the sender already, or one of the mailings is over.
    """
    with transaction.atomic():
        # In one order, so that two moves in opposite directions do not wait for each other.
        for each in sorted({message.mailing, mailing}, key=attrgetter("pk")):
            _lock_open(each, now)
        message = _lock_unsent(message)
        if message.attempts:
            raise ValidationError(
                _("This message was handed to the sender already. Create another one instead."),
                code="message_already_tried",
            )
        _remember_withdrawal(message)
        before = _address(message)
        with posted([message.pk]):
            message.mailing, message.client = mailing, client
            moved = _save_manual(message, now)
        if changes := differences(before, _address(moved)):
            record_deed(Deed.CHANGED, moved, changes=changes)
        return moved


def withdraw_message(message: Message, *, now: datetime) -> None:
    """Delete a message that was not accepted; its client is not planned for this mailing again.

    Raises:
        ValidationError: it was accepted, may have arrived or is leased, or the mailing is over.
    """
    with transaction.atomic():
        _lock_open(message.mailing, now)
        message = _lock_unsent(message)
        if message.attempt_log.filter(is_unclear=True).exists():
            raise ValidationError(
                _("This message may have arrived, so it stays. Confirm it, or send it again."),
                code="message_unconfirmed",
            )
        _remember_withdrawal(message)
        record_deed(Deed.WITHDRAWN, message, changes=differences(_address(message), {}))
        with posted([message.pk]):
            message.delete()


def resend_message(message: Message, *, now: datetime) -> Message:
    """Make a failed message due again, now.

    Raises:
        ValidationError: it has not failed or is leased, or the mailing is not running.
    """
    with transaction.atomic():
        mailing = message.mailing
        _lock_open(mailing, now)
        if not mailing.is_running:
            raise ValidationError(
                _("The mailing does not run. Messages are sent again while it runs."),
                code="mailing_not_running",
            )
        message = _lock_unsent(message)
        if message.status != Message.Status.FAIL:
            raise ValidationError(
                _("This message has not failed; it is sent without being asked again."),
                code="message_not_failed",
            )
        # Without its token, a late answer to an earlier attempt is written only if it is a success.
        message.schedule(now)
        message.lease_token = None
        with posted([message.pk]):
            message.save(update_fields=["next_attempt_at", "queued_at", "lease_token"])
        record_deed(Deed.RESENT, message, details=_address(message))
        return message


def confirm_message(message: Message, *, now: datetime) -> Message:
    """Make an unconfirmed message a success, because an operator says that it arrived.

    This is possible in a mailing that is over, too; if it is closed, its counts are corrected.

    Raises:
        ValidationError: the message is not unconfirmed, or it is leased.
    """
    with transaction.atomic():
        mailing = message.mailing
        mailing.lock()
        message = _lock_unsent(message)
        if message.error_code != ErrorCode.UNCONFIRMED:
            raise ValidationError(
                _("Only a message that is unconfirmed can be confirmed."),
                code="message_not_unconfirmed",
            )
        record_deed(Deed.CONFIRMED, message, details=_address(message))
        return mark_accepted(message, mailing=mailing, at=now)


def mark_accepted(message: Message, *, mailing: "Mailing", at: datetime) -> Message:
    """Make a message a success that is not leased any more. The caller has locked both.

    `at` is when it became known that the sender had accepted the message.
    """
    arrivals.accept([message.pk], at=at)
    message.refresh_from_db(fields=ACCEPTED)
    mailing.count_late_success()
    return message


def fail_unsent(mailing: MailingSnapshot, error_code: ErrorCode) -> bool:
    """Fail unfinished messages of a mailing that is over, up to FAIL_CHUNK; leave the leased ones.

    `error_code` is the reason of those that have no reason of their own (see `_final`).

    Returns:
        Whether there were any.
    """
    with index_scans_only():
        # Locked before their reason is read: an answer may just be about to be written.
        taken = Message.objects.filter(has_id(waiting.take_unsent(mailing.id, FAIL_CHUNK)))
        before = accounts_of(taken)
        rows = update_returning(
            taken, _final(mailing, error_code), columns=("id", *ACCOUNT_COLUMNS)
        )
        post(mailing.id, (Move(pk, before[pk], account_from(*columns)) for pk, *columns in rows))
    return bool(before)


def _final(mailing: MailingSnapshot, error_code: ErrorCode) -> dict[str, Any]:
    """Return the final columns of messages that a mailing leaves unsent.

    The first matching reason wins: an unclear attempt, the failure of its last attempt, a client
    that the filters do not select, a window that is shut until the stop time; else `error_code`.
    """
    unclear = Attempt.objects.filter(message=models.OuterRef("pk"), is_unclear=True)
    addressee = Client.objects.matching(mailing.filters).filter(pk=models.OuterRef("client"))
    # A subquery and not EXISTS, for which Postgres would read all clients.
    is_unmatched = IsNull(models.Subquery(addressee.values("pk")[:1]), True)
    is_not_matched = Q(client=None) | Q(is_manual=False) & Q(is_unmatched)
    is_shut = Q(next_attempt_at__gte=mailing.stop_time) if mailing.window else Q(pk=None)
    reasons: list[tuple[Q, Any, Any]] = [
        (Q(models.Exists(unclear)), Value(ErrorCode.UNCONFIRMED), F("error")),
        (Q(status=Message.Status.FAIL), F("error_code"), F("error")),
        (is_not_matched, Value(ErrorCode.NOT_MATCHED), Value(ErrorCode.NOT_MATCHED.stored)),
        (is_shut, Value(ErrorCode.OUT_OF_WINDOW), Value(ErrorCode.OUT_OF_WINDOW.stored)),
    ]
    codes = (When(condition, then=code) for condition, code, _ in reasons)
    errors = (When(condition, then=error) for condition, _, error in reasons)
    return {
        "status": Message.Status.FAIL,
        "error_code": Case(*codes, default=Value(error_code)),
        "error": Case(*errors, default=Value(error_code.stored)),
        "next_attempt_at": None,
        "queued_at": None,
        # Without it, a late answer can change nothing any more, unless it is a success.
        "lease_token": None,
    }


def _lock_open(mailing: "Mailing", now: datetime) -> None:
    """Lock a mailing until the transaction ends.

    Raises:
        ValidationError: it is over, its stop time has passed, or it is a draft.
    """
    mailing.lock()
    if mailing.is_draft:
        raise ValidationError(
            _("The mailing is a draft and has no messages. Launch it first."), code="mailing_draft"
        )
    if mailing.is_over_at(now):
        raise ValidationError(
            _("The mailing is over; its messages do not change any more."), code="mailing_over"
        )


def _lock_unsent(message: Message) -> Message:
    """Return a message as it is now, locked until the transaction ends.

    Raises:
        ValidationError: it was accepted, or is leased.
    """
    message.refresh_from_db(from_queryset=Message.objects.select_for_update())
    if message.status == Message.Status.SUCCESS:
        raise ValidationError(_("This message was sent already."), code="message_sent")
    if message.lease_until:
        raise ValidationError(
            _("This message is on its way to the sender. Try again in a minute."),
            code="message_in_flight",
        )
    return message


def _save_manual(message: Message, now: datetime) -> Message:
    """Save a message for its client, who is locked against deletion until it is committed.

    Raises:
        ValidationError: the client was deleted.
    """
    clients = Client.objects.select_for_update(no_key=True)
    client = message.client and clients.filter(pk=message.client.pk).first()
    if not client:
        raise ValidationError(
            _("This client was deleted. Choose another one."), code="client_deleted"
        )
    Withdrawal.objects.filter(mailing=message.mailing, client=client).delete()
    message.is_manual = True
    message.timezone, message.phone_number = str(client.timezone), client.phone_number
    message.schedule(now)  # The claim looks whether the mailing runs.
    message.save()
    return message


def _address(message: Message) -> dict[str, Any]:
    """Return what history tells of a message."""
    return values_of(message, ("mailing", "client"))


def _remember_withdrawal(message: Message) -> None:
    if message.client:
        Withdrawal.objects.get_or_create(mailing=message.mailing, client=message.client)
