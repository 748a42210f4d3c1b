"""The demo: a sample mailing to sample clients, watched until every message is accounted for."""

import logging
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from tqdm import tqdm

from clients.imports import import_clients
from clients.models import Client
from mailings.models import Mailing
from mailings.services import create_mailing
from mailings.stats import mailing_stats
from mailings.tasks import apply_on_commit
from messages_app.models import Message
from messages_app.stats import complete_counts
from sandbox_sender.journal import read_journal

SAMPLE = Path(__file__).resolve().parent / "sample" / "clients.csv"
TEXT = "Your summer discount of 20 % is ready: show this message at the till until Sunday."
WINDOW = timedelta(hours=1)
DEMO_TIMEOUT = 600  # seconds
LOOK_EVERY = 0.2  # seconds
SAY_EVERY = 3  # seconds, where there is no terminal for a progress bar

Write = Callable[[str], None]

logger = logging.getLogger(__name__)


def run_demo(*, journal: Path, write: Write, is_stopping: Event) -> bool:
    """Send the sample and report; tell whether every message arrived.

    Args:
        journal: the sandbox sender's, which says what really arrived there.
        write: takes the lines of the report.
        is_stopping: ends it early.
    """
    import_sample(write)
    if is_stopping.is_set():
        return False
    clients = Client.objects.count()
    mailing = start_mailing_to_all()
    write(f"Mailing {mailing.pk} to all {clients:,} clients starts now.")
    _watch(mailing, clients, write, is_stopping)
    return not is_stopping.is_set() and report(mailing, clients, journal, write)


def import_sample(write: Write) -> None:
    """Import the clients that come with the program; those that are there already stay."""
    with SAMPLE.open("rb") as file:
        result = import_clients(
            file, on_error=lambda line, reason: logger.error("%s:%d: %s", SAMPLE, line, reason)
        )
    write(f"Sample clients: {result.created:,} new, {result.updated + result.unchanged:,} known.")


def start_mailing_to_all() -> Mailing:
    """Create a mailing to every client there is, that starts now."""
    now = timezone.now()
    mailing = Mailing(start_time=now, stop_time=now + WINDOW, text=TEXT, filters={})
    with transaction.atomic():
        create_mailing(mailing, now=now)
        apply_on_commit(mailing)
    return mailing


def report(mailing: Mailing, clients: int, journal: Path, write: Write) -> bool:
    """Write the final counts; tell whether each client was sent to, and the sandbox agrees."""
    messages = Message.objects.filter(mailing=mailing)
    result = complete_counts(messages.count_by_status())
    accepted = read_journal(journal).accepted
    arrived = sum(accepted[message.sender_id] for message in messages.with_sender_id())
    last = messages.aggregate(last=Max("sent_at"))["last"]
    seconds = (last - mailing.start_time).total_seconds() if last else 0
    rate = result["success"] / seconds if seconds else 0
    words = ", ".join(f"{count:,} {status}" for status, count in result.items())
    write(f"Mailing {mailing.pk}: {words}. The sandbox accepted {arrived:,}.")
    write(f"It took {seconds:.1f} s, {rate:,.0f} messages/s.")
    return result["success"] == result["total"] == arrived == clients


def _watch(mailing: Mailing, total: int, write: Write, is_stopping: Event) -> None:
    """Show progress until no message is pending, or DEMO_TIMEOUT ends."""
    began_at = said_at = monotonic()
    is_terminal = sys.stdout.isatty()
    with tqdm(total=total, unit=" messages", file=sys.stdout, disable=not is_terminal) as bar:
        while not is_stopping.wait(LOOK_EVERY):
            now = monotonic()
            done, is_over = _progress(mailing)
            bar.update(done - bar.n)
            if is_over:
                return
            if now - began_at > DEMO_TIMEOUT:
                logger.error("The demo is not done after %d s; it is left alone.", DEMO_TIMEOUT)
                return
            if not is_terminal and now - said_at >= SAY_EVERY:
                said_at = now
                write(f"{done:,} of {total:,} messages sent.")


def _progress(mailing: Mailing) -> tuple[int, bool]:
    """Return how many messages were sent or failed for good, and whether that is all."""
    # Planned first: counted before, the last planned messages would be missed.
    is_planned = Mailing.objects.exclude(last_run_time=None).filter(pk=mailing.pk).exists()
    counts: Any = mailing_stats([mailing])[0]
    left = counts["stats"]["pending"] + counts["retrying"]
    return counts["stats"]["total"] - left, is_planned and not left
