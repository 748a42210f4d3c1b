"""What can be done with clients: add, edit, delete."""

from django.db import transaction

from clients.models import Client
from toolkit.history.models import Deed
from toolkit.history.recording import differences, record_deed, values_of

EDITABLE = ("phone_number", "operator_code", "tag", "timezone", "external_id")
# What is shown of a client over REST and in files.
SHOWN = ("id", *EDITABLE, "created_at", "updated_at")


def create_client(client: Client) -> Client:
    """Save a new client."""
    with transaction.atomic():
        client.save(force_insert=True)
        record_deed(Deed.CREATED, client, changes=differences({}, values_of(client, EDITABLE)))
    return client


def edit_client(client: Client, **values: object) -> Client:
    """Save these values over a client as it is in the database now.

    Raises:
        Client.DoesNotExist: it was deleted.
    """
    with transaction.atomic():
        client = Client.objects.select_for_update().get(pk=client.pk)
        before = values_of(client, EDITABLE)
        for name, value in values.items():
            setattr(client, name, value)
        client.save()
        if changes := differences(before, values_of(client, EDITABLE)):
            record_deed(Deed.CHANGED, client, changes=changes)
    return client


def delete_client(client: Client) -> None:
    """Delete a client. Its messages stay, with the phone number; unsent ones are never sent.

    The client is locked first, which waits for planning that is adding a message for it.

    Raises:
        Client.DoesNotExist: it was deleted already.
    """
    with transaction.atomic():
        client = Client.objects.select_for_update().get(pk=client.pk)
        record_deed(Deed.DELETED, client, changes=differences(values_of(client, EDITABLE), {}))
        client.delete()
