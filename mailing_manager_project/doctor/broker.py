"""The broker, and who takes tasks from it."""

from collections.abc import Iterator

from celery import current_app
from django.conf import settings

from mailing_manager_project import queues
from mailing_manager_project.doctor.findings import Finding, error, fine, warning
from mailing_manager_project.queues import BrokerAwayError

# Without these nothing is sent; the others carry what can wait.
VITAL = ("mailings", "messages")
START = "Start 'celery -A mailing_manager_project worker -Q {queue}' (docs/operations.md)."


def look() -> Iterator[Finding]:
    """See whether the broker answers, and how many tasks wait."""
    address = current_app.connection_for_read().as_uri()  # which hides the password
    try:
        waiting = queues.lengths()
    except BrokerAwayError as reason:
        yield error(
            f"{address} does not answer: {str(reason).rstrip('.')}.",
            "Start it, or correct CELERY_BROKER_URL. Nothing is lost meanwhile: the database "
            "knows what is due.",
        )
        return
    yield fine(f"{address} answers; {sum(waiting.values()):,} tasks wait.")


def look_at_workers() -> Iterator[Finding]:
    """See which queues are served, and by how many processes."""
    try:
        served = queues.served()
    except BrokerAwayError:
        return  # The other check says it.
    if not served:
        yield error(
            "No worker answers.",
            "Start the workers (docs/operations.md); if some run, look at their logs, and whether "
            "they have the same CELERY_BROKER_URL.",
        )
        return
    for queue in settings.CELERY_TASK_QUEUES:
        yield _served(queue.name, served.get(queue.name, 0))
    processes, told = served.get("messages", 0), settings.MESSAGE_SENDER_PROCESSES
    if processes and processes != told:
        yield warning(
            f"{processes} processes send, and MESSAGE_SENDER_PROCESSES is {told}.",
            f"Set it to {processes} for all programs, or run {told}: it says who shares the work.",
        )


def _served(queue: str, processes: int) -> Finding:
    if processes:
        return fine(f"{queue}: served, {processes} at once.")
    said = f"{queue}: no worker serves it."
    hint = START.format(queue=queue)
    return error(said, hint) if queue in VITAL else warning(said, hint)
