"""What can be done with messages: plan, add, withdraw, resend, give up, recover."""

from datetime import datetime
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q

from clients.models import Client
from clients.querysets import Filters, matching
from messages_app.models import Message, Withdrawal
from messages_app.querysets import running_mailings

if TYPE_CHECKING:
    from mailings.models import Mailing


def running_mailing(mailing_id: int, now: datetime) -> "Mailing | None":
    """Return a mailing as it is this moment, if it is running and inside its time."""
    return running_mailings(now).filter(pk=mailing_id).first()


def plan(*, mailing_id: int, audience: "models.QuerySet[Client]", now: datetime) -> int:
    """Add a pending message for every client of the audience that has none; count them."""
    withdrawn = Withdrawal.objects.filter(mailing=mailing_id, client=models.OuterRef("pk"))
    return Message.objects.plan(
        mailing_id=mailing_id, audience=audience.exclude(models.Exists(withdrawn)), now=now
    )


def add_message(*, mailing: "Mailing", client: Client, now: datetime) -> Message:
    """Add one client to a mailing by hand, whatever the filters say.

    Raises:
        ValidationError: the mailing is over.
    """
    with transaction.atomic():
        message = Message(mailing=_lock_open(mailing, now), client=client)
        return _address_by_hand(message, now)


def move_message(message: Message, *, mailing: "Mailing", client: Client, now: datetime) -> Message:
    """Give a message that was never tried another client or mailing.

    Raises:
        ValidationError: it was tried already, or one of the mailings is over.
    """
    with transaction.atomic():
        _lock_open(message.mailing, now)
        message = _lock_unsent(message, now)
        if message.attempts:
            raise ValidationError(
                "This message was handed to the sender already. Create another one instead.",
                code="message_already_tried",
            )
        _remember_withdrawal(message)
        message.mailing, message.client = _lock_open(mailing, now), client
        return _address_by_hand(message, now)


def withdraw_message(message: Message, *, now: datetime) -> None:
    """Delete a message that was not sent; its client is not planned for this mailing again.

    Raises:
        ValidationError: it was sent or is in flight, or the mailing is over.
    """
    with transaction.atomic():
        _lock_open(message.mailing, now)
        message = _lock_unsent(message, now)
        _remember_withdrawal(message)
        message.delete()


def resend_message(message: Message, *, now: datetime) -> Message:
    """Make a failed message due again, now.

    Raises:
        ValidationError: it has not failed or is in flight, or the mailing is not running.
    """
    with transaction.atomic():
        mailing = _lock_open(message.mailing, now)
        if mailing.status != "running":
            raise ValidationError(
                f"The mailing is {mailing.status}. Messages are sent again while it runs.",
                code="mailing_not_running",
            )
        message = _lock_unsent(message, now)
        if message.status != Message.Status.FAIL:
            raise ValidationError(
                "This message has not failed; it is sent without being asked again.",
                code="message_not_failed",
            )
        message.next_attempt_at = now
        message.save(update_fields=["next_attempt_at"])
        return message


def make_due(*, mailing_id: int, now: datetime) -> int:
    """Bring forward what was put off untried, because the filters may select it again."""
    untried = Message.objects.free(now).filter(mailing=mailing_id, attempts=0)
    return untried.filter(next_attempt_at__gt=now).update_in_chunks(next_attempt_at=now)


def give_up(
    *, mailing_id: int, filters: Filters, error_code: str, error: str, now: datetime
) -> None:
    """Fail what a mailing that is over leaves unsent, except what is still in flight."""
    unsent = Message.objects.filter(mailing=mailing_id).free(now).unfinished()
    # An answer that comes after its lease has ended must not change what is final.
    final = {"next_attempt_at": None, "lease_token": None, "lease_until": None}
    unsent.filter(status=Message.Status.FAIL).update_in_chunks(**final)
    strangers = Q(client=None) | Q(is_manual=False) & ~matching(filters, prefix="client__")
    fail = {**final, "status": Message.Status.FAIL}
    # By id, because only conditions without joins are checked again on a locked row.
    unsent.filter(pk__in=unsent.filter(strangers).values("pk")).update_in_chunks(
        **fail, error_code="not_matched", error="The client no longer matches the filters."
    )
    unsent.update_in_chunks(**fail, error_code=error_code, error=error)


def _lock_open(mailing: "Mailing", now: datetime) -> "Mailing":
    """Lock a mailing that is not over, until the transaction ends."""
    mailing.refresh_from_db(from_queryset=type(mailing).objects.select_for_update())
    if mailing.is_over or mailing.stop_time <= now:
        raise ValidationError(
            "The mailing is over; its messages do not change any more.", code="mailing_over"
        )
    return mailing


def _lock_unsent(message: Message, now: datetime) -> Message:
    """Lock a message that was not sent and is not being sent, until the transaction ends."""
    message.refresh_from_db(from_queryset=Message.objects.select_for_update())
    if message.status == Message.Status.SUCCESS:
        raise ValidationError("This message was sent already.", code="message_sent")
    if message.lease_until and message.lease_until > now:
        raise ValidationError(
            "This message is on its way to the sender. Try again in a minute.",
            code="message_in_flight",
        )
    return message


def _address_by_hand(message: Message, now: datetime) -> Message:
    Withdrawal.objects.filter(mailing=message.mailing, client=message.client).delete()
    message.is_manual = True
    message.phone_number = message.client.phone_number if message.client else ""
    message.next_attempt_at = max(now, message.mailing.start_time)
    message.save()
    return message


def _remember_withdrawal(message: Message) -> None:
    if message.client:
        Withdrawal.objects.get_or_create(mailing=message.mailing, client=message.client)
