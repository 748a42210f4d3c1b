"""What can be done with clients, apart from saving them."""

from django.db import transaction

from clients.models import Client


def delete_client(client: Client) -> None:
    """Delete a client. Its messages stay, with the phone number; unsent ones are never sent.

    The client is locked first, which waits for planning that is adding a message for it.

    Raises:
        Client.DoesNotExist: it was deleted already.
    """
    with transaction.atomic():
        Client.objects.select_for_update().get(pk=client.pk).delete()
