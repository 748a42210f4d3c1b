"""The task that sends mails of accounts."""

from celery import shared_task

from toolkit.access import notices
from toolkit.outages import tolerate_database_outage


@shared_task(name=notices.TASK)
def send_notices() -> None:
    """Tell users what happened to their accounts."""
    with tolerate_database_outage("Telling users of their accounts"):
        notices.send_notices()
