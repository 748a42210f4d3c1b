"""A message in words: what became of it and what comes next."""

from datetime import datetime

from django.utils.safestring import SafeString

from clients.admin.words import label, second
from messages_app.models import Message

Status = Message.Status

COLOURS = {Status.PENDING: "", Status.SUCCESS: "success", Status.FAIL: "danger"}


def status_label(message: Message) -> SafeString:
    """Return the status as a coloured label."""
    return label(message.get_status_display(), COLOURS[Status(message.status)])


def tell(message: Message, now: datetime) -> str:
    """Return in words what became of a message and what comes next."""
    if message.status == Status.SUCCESS:
        return f"Sent at {second(message.sent_at)} UTC."
    if message.lease_until and message.lease_until > now:
        return "On its way to the sender."
    why = f"{message.error} " if message.error else ""
    if message.next_attempt_at:
        begun = "Not sent yet." if message.status == Status.PENDING else "The last attempt failed."
        return f"{begun} {why}It is due at {second(message.next_attempt_at)} UTC."
    return f"Failed for good. {why}".rstrip()
