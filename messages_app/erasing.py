"""Erasing: forgets a person wherever its number is kept; counts and ledger stay as they are.

A message whose number is forgotten has a stand-in for it, from which its `sender_id` can still be
read (docs/adr/0032-history.md): the audit, and the sender, know it as before.
"""

from django.contrib.admin.models import LogEntry
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Replace
from django.utils.translation import gettext as _

from clients.models import Client
from messages_app.ledger.posting import posted
from messages_app.models import Attempt, ErrorCode, Message
from messages_app.sender_ids import STAND_IN, stand_in
from messages_app.sql import index_scans_only
from toolkit.history.models import Deed, Entry
from toolkit.history.recording import Subject, record_deed
from toolkit.rest.idempotency.models import GivenAnswer

ERASED = "(erased)"
CHUNK = 2_000  # messages whose numbers one transaction forgets


def erase_client(client: Client) -> None:
    """Erase a client: nothing that is kept tells any more who it was, and nothing goes to it.

    Messages that were handed to the sender stay, without the number, so that all counts stay true.
    Those that were not are withdrawn, and those that would be tried again are not.

    Raises:
        ValidationError: a message to it is on its way.
        Client.DoesNotExist: it was deleted.
    """
    with transaction.atomic():
        client = Client.objects.select_for_update().get(pk=client.pk)
        number, pk = client.phone_number, client.pk
        _give_up(client)
        forgotten = _forget_numbers(client)
        client.delete()
        _forget_words(pk, number)
        subject = Subject("clients", str(pk), "A client that was erased")
        record_deed(Deed.ERASED, subject, details={"messages": forgotten})


def _give_up(client: Client) -> None:
    """Withdraw what was never handed to the sender, and have nothing tried again.

    Raises:
        ValidationError: a message is on its way.
    """
    theirs = Message.objects.filter(client=client)
    unsent = list(theirs.unfinished().order_by("pk").select_for_update())
    if any(message.lease_until for message in unsent):
        raise ValidationError(
            _("A message to this client is on its way to the sender. Try again in a minute."),
            code="client_in_flight",
        )
    untried = [message.pk for message in unsent if not message.attempts]
    with posted([message.pk for message in unsent]):
        Message.objects.filter(pk__in=untried).delete()
        for message in unsent:
            if message.attempts:
                _fail(message)


def _fail(message: Message) -> None:
    """Fail a message for good; what may have arrived is called unconfirmed."""
    code = ErrorCode(message.error_code or ErrorCode.NOT_MATCHED)
    if message.attempt_log.filter(is_unclear=True).exists():
        code = ErrorCode.UNCONFIRMED
    message.status, message.error_code = Message.Status.FAIL, code
    message.error = message.error or code.stored
    message.schedule(None)
    message.lease_token = None
    message.save()


def _forget_numbers(client: Client) -> int:
    """Take the number out of all messages to a client, also from before it was deleted and added.

    Returns:
        The number of messages.
    """
    number = client.phone_number
    theirs = Q(client=client) | Q(client=None, phone_number=number)
    messages = list(Message.objects.filter(theirs).with_sender_id())
    ids = [message.pk for message in messages]
    masked = Replace(F("error"), Value(number), Value(ERASED))
    Message.objects.filter(pk__in=ids, error__contains=number).update(error=masked)
    Attempt.objects.filter(message__in=ids, error__contains=number).update(error=masked)
    _put_stand_ins(messages)
    return len(messages)


def forget_numbers(mailing_id: int, *, after: int) -> int | None:
    """Forget the numbers of the next messages of a mailing that is closed, a chunk of them.

    `after` is the id of the last client whose message was looked at. Those of clients who are
    deleted come at the end.

    Returns:
        The last client looked at now; None if no message is left.
    """
    messages = Message.objects.filter(mailing=mailing_id)
    with transaction.atomic(), index_scans_only():
        following = messages.filter(client__gt=after).order_by("mailing_id", "client_id")
        chunk = list(following.with_sender_id()[:CHUNK])
        if not chunk:
            known = messages.filter(client=None).exclude(phone_number__startswith=STAND_IN)
            chunk = list(known.order_by().with_sender_id()[:CHUNK])
        _put_stand_ins(chunk)
    if not chunk:
        return None
    return chunk[-1].client_id or after


def _put_stand_ins(messages: list[Message]) -> None:
    """Put in place of the messages' numbers what only their `sender_id` can be read from."""
    known = [each for each in messages if not each.phone_number.startswith(STAND_IN)]
    for message in known:
        message.phone_number = stand_in(message.sender_id)
    Message.objects.bulk_update(known, ["phone_number"], batch_size=500)


def _forget_words(pk: int, number: str) -> None:
    """Take what a client was called out of history, of Django's log, and of answers kept."""
    for entry in Entry.objects.of(f"clients/{pk}"):
        entry.text = ERASED
        entry.changes = {name: [ERASED, ERASED] for name in entry.changes}
        entry.save(update_fields=["text", "changes"])
    log = LogEntry.objects.filter(
        content_type__app_label="clients", content_type__model="client", object_id=str(pk)
    )
    log.update(object_repr=ERASED, change_message="")
    GivenAnswer.objects.forget(number)
