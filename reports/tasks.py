"""The tasks of reports: the tick, and one that sends a letter."""

from celery import shared_task

from reports import sending
from toolkit import clock
from toolkit.outages import tolerate_database_outage
from toolkit.publishing import publish

WHAT = "Reporting"  # begins what is logged when the database is away


@shared_task(name="send_reports")
def send_reports() -> None:
    """Make the letters that are due, and queue a task for each that is to be sent (the tick)."""
    with tolerate_database_outage(WHAT):
        for letter_id in sending.letters_to_send(now=clock.now()):
            publish("send_report", letter_id)


@shared_task(name="send_report")
def send_report(letter_id: int) -> None:
    """Send one letter."""
    with tolerate_database_outage(WHAT):
        sending.send_letter(letter_id, now=clock.now())
