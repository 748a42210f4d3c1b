"""What people do with recipients of reports: add, change, delete. Each leaves history."""

from django.conf import settings
from django.db import transaction

from reports.models import Recipient
from toolkit.history.models import Deed
from toolkit.history.recording import differences, record_deed, values_of

EDITABLE = ("address", "language", "timezone", "is_daily", "is_told_of_ends")


def save_recipient(recipient: Recipient) -> None:
    """Save a new recipient, or one that was edited."""
    with transaction.atomic():
        before = Recipient.objects.select_for_update().filter(pk=recipient.pk).first()
        recipient.save()
        was = values_of(before, EDITABLE) if before else {}
        if changed := differences(was, values_of(recipient, EDITABLE)):
            record_deed(Deed.CHANGED if before else Deed.CREATED, recipient, changes=changed)


def delete_recipient(recipient: Recipient) -> None:
    """Delete a recipient: nothing more is sent there, unless REPORT_RECIPIENTS has it."""
    with transaction.atomic():
        changes = differences(values_of(recipient, EDITABLE), {})
        record_deed(Deed.DELETED, recipient, changes=changes)
        recipient.delete()


def recipients() -> list[Recipient]:
    """Return all who get reports; those of REPORT_RECIPIENTS have no row, and all is default."""
    found = {each.address: each for each in Recipient.objects.all()}
    configured = {address.lower() for address in settings.REPORT_RECIPIENTS}
    return [*found.values(), *(Recipient(address=each) for each in sorted(configured - {*found}))]
