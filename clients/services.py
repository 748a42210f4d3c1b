"""What can be done with clients beyond saving them."""

from django.db import transaction

from clients.models import Client


def delete_client(client: Client) -> None:
    """Delete a client. Its messages stay, with the number, and those unsent never go out.

    The lock waits for a planner that is just adding a message for it.
    """
    with transaction.atomic():
        Client.objects.select_for_update().get(pk=client.pk).delete()
