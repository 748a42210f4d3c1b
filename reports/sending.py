"""Sending: makes the letters that are due, and hands each to the mail server, once.

A letter is a row before it is sent, so several beats make one, and what an outage has kept back is
made afterwards. Whoever sends it claims it first. If they die with that, it is sent again, with the
same Message-ID.
"""

import logging
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import F
from django.utils import timezone, translation

from messages_app.models import SendingControl
from messages_app.sending import control
from reports.daily import daily_letter
from reports.models import CAUGHT_UP, Letter, Recipient
from reports.services import recipients
from reports.writing import as_html, as_text

CLAIMED = timedelta(minutes=5)  # for which nobody else sends a letter that somebody has claimed
LONGEST_WAIT = timedelta(hours=1)  # between two attempts
KEPT = timedelta(days=90)  # that it is known what was sent to whom
DAY = timedelta(days=1)

logger = logging.getLogger(__name__)


def letters_to_send(*, now: datetime) -> list[int]:
    """Make the letters that are due by now; return the ids of those that are to be sent.

    Without a mail server there are none; a copy of a database that waits for the end of its
    original tells nobody anything.
    """
    is_held = control.is_held_back(SendingControl.objects.current(), now)
    if is_held or not settings.EMAIL_HOST:
        return []
    Letter.objects.filter(made_at__lt=now - KEPT).delete()
    for recipient in recipients():
        if recipient.is_daily:
            make_letters(recipient, due_days(recipient, now), now=now)
    return list(Letter.objects.due(now).values_list("pk", flat=True))


def due_days(recipient: Recipient, now: datetime) -> list[date]:
    """Return the days of which no letter was made yet; of somebody new the last one."""
    newest = recipient.newest_day(now)
    last = Letter.objects.last_day(recipient.address)
    first = max(last + DAY, newest - CAUGHT_UP + DAY) if last else newest
    return [first + place * DAY for place in range((newest - first).days + 1)]


def make_letters(recipient: Recipient, days: Iterable[date], *, now: datetime) -> None:
    """Make the daily letters to a recipient that are not there yet."""
    Letter.objects.bulk_create(
        [
            Letter(
                address=recipient.address,
                kind=Letter.Kind.DAILY,
                about=day.isoformat(),
                made_at=now,
                next_attempt_at=now,
            )
            for day in days
        ],
        ignore_conflicts=True,
    )


def daily_letter_to(recipient: Recipient, day: date, *, now: datetime) -> Letter:
    """Return the daily letter of a day to a recipient, made now if it was not."""
    make_letters(recipient, [day], now=now)
    return Letter.objects.get(
        address=recipient.address, kind=Letter.Kind.DAILY, about=day.isoformat()
    )


def send_letter(letter_id: int, *, now: datetime) -> None:
    """Send a letter that is due, unless somebody else does, or nobody wants it any more."""
    due = Letter.objects.due(now).filter(pk=letter_id)
    if not due.update(next_attempt_at=now + CLAIMED, attempts=F("attempts") + 1):
        return
    letter = Letter.objects.get(pk=letter_id)
    found = {each.address: each for each in recipients()}
    if recipient := found.get(letter.address):
        send(letter, recipient, now=now)
    else:
        letter.delete()


def send(letter: Letter, recipient: Recipient, *, now: datetime) -> None:
    """Write a letter and hand it to the mail server; note what came of it."""
    try:
        _post(letter, recipient)
    except OSError as error:  # SMTP's own are such
        logger.error("The letter %s could not be sent: %s", letter, error)
        letter.error = str(error)[:255]
        letter.next_attempt_at = now + min(LONGEST_WAIT, timedelta(minutes=2**letter.attempts))
    else:
        letter.error, letter.sent_at = "", now
    letter.save(update_fields=["error", "next_attempt_at", "sent_at"])


def _post(letter: Letter, recipient: Recipient) -> None:
    with translation.override(recipient.language), timezone.override(recipient.zone):
        content = daily_letter(recipient, date.fromisoformat(letter.about))
        html, text = as_html(content), as_text(content)
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip(">")
    headers = {
        "Message-ID": f"<{letter.token}@{domain}>",
        "Auto-Submitted": "auto-generated",
    }
    message = EmailMultiAlternatives(content.subject, text, to=[letter.address], headers=headers)
    message.attach_alternative(html, "text/html")
    message.send()
