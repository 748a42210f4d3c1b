"""The task that imports uploaded files."""

from celery import shared_task

from clients.imports import uploads
from toolkit.outages import tolerate_database_outage
from toolkit.publishing import publish


@shared_task(name=uploads.TASK)
def import_clients() -> None:
    """Import for a bounded time from the file whose turn it is; queue again if there is more."""
    with tolerate_database_outage("Importing"):
        if uploads.import_next():
            publish(uploads.TASK)
