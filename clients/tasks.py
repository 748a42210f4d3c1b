"""The task that imports uploaded files, and changes many clients at once."""

from celery import shared_task

from clients import changing
from clients.imports import uploads
from toolkit.outages import tolerate_database_outage
from toolkit.publishing import publish


@shared_task(name=uploads.TASK)
def import_clients() -> None:
    """Import for a bounded time from the file whose turn it is; queue again if there is more.

    Changes of many clients have their turn here, too: one at a time writes clients in quantity.
    """
    with tolerate_database_outage("Importing"):
        is_more = [uploads.import_next(), changing.change_next()]
        if any(is_more):
            publish(uploads.TASK)
