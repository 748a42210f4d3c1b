"""Sending: makes the letters that are due, and hands each to the mail server, once.

A letter is a row before it is sent, so several beats make one, and what an outage has kept back is
made afterwards. Whoever sends it claims it first. If they die with that, it is sent again, with the
same Message-ID.
"""

import logging
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from itertools import product

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.db.models import F
from django.utils import timezone, translation

from mailings.models import Statement
from messages_app.models import SendingControl
from messages_app.sending import control
from reports.daily import daily_letter
from reports.ending import ending_letter
from reports.models import CAUGHT_UP, Letter, Recipient
from reports.services import recipients
from reports.writing import Content, as_html, as_text

CLAIMED = timedelta(minutes=5)  # for which nobody else sends a letter that somebody has claimed
LONGEST_WAIT = timedelta(hours=1)  # between two attempts
KEPT = timedelta(days=90)  # that it is known what was sent to whom
DAY = timedelta(days=1)
TOLD = 200  # ends of mailings that one tick makes letters of

Kind = Letter.Kind

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
    everybody = recipients()
    for recipient in everybody:
        if recipient.is_daily:
            days = map(str, due_days(recipient, now))
            make_letters([recipient], Kind.DAILY, days, now=now)
    _tell_ends([each for each in everybody if each.is_told_of_ends], now)
    return list(Letter.objects.due(now).values_list("pk", flat=True))


def due_days(recipient: Recipient, now: datetime) -> list[date]:
    """Return the days of which no letter was made yet; of somebody new the last one."""
    newest = recipient.newest_day(now)
    last = Letter.objects.last_day(recipient.address)
    first = max(last + DAY, newest - CAUGHT_UP + DAY) if last else newest
    return [first + place * DAY for place in range((newest - first).days + 1)]


def make_letters(
    to: Iterable[Recipient], kind: Kind, about: Iterable[str], *, now: datetime
) -> None:
    """Make the letters of a kind to some people that are not there yet."""
    same = {"kind": kind, "made_at": now, "next_attempt_at": now}
    letters = [
        Letter(address=recipient.address, about=each, **same)
        for recipient, each in product(to, about)
    ]
    Letter.objects.bulk_create(letters, ignore_conflicts=True)


def _tell_ends(to: list[Recipient], now: datetime) -> None:
    """Make the letters that tell the ends of mailings; what is old by now, none are made of."""
    with transaction.atomic():
        untold = Statement.objects.untold().select_for_update(skip_locked=True)
        statements = list(untold.order_by("pk")[:TOLD])
        new = [str(each.pk) for each in statements if each.is_signed_since(now - CAUGHT_UP)]
        make_letters(to, Kind.ENDING, new, now=now)
        Statement.objects.filter(pk__in=[each.pk for each in statements]).update(is_told=True)


def daily_letter_to(recipient: Recipient, day: date, *, now: datetime) -> Letter:
    """Return the daily letter of a day to a recipient, made now if it was not."""
    make_letters([recipient], Kind.DAILY, [str(day)], now=now)
    return Letter.objects.get(address=recipient.address, kind=Kind.DAILY, about=day)


def send_letter(letter_id: int, *, now: datetime) -> None:
    """Send a letter that is due, unless somebody else does, or nobody wants it any more."""
    due = Letter.objects.due(now).filter(pk=letter_id)
    if not due.update(next_attempt_at=now + CLAIMED, attempts=F("attempts") + 1):
        return
    letter = Letter.objects.get(pk=letter_id)
    recipient = next((each for each in recipients() if each.address == letter.address), None)
    if recipient and recipient.wants(letter.kind):
        send(letter, recipient, now=now)
    else:
        letter.delete()


def send(letter: Letter, recipient: Recipient, *, now: datetime) -> None:
    """Write a letter and hand it to the mail server; note what came of it.

    One about a mailing that was deleted since is dropped.
    """
    try:
        _post(letter, recipient)
    except Statement.DoesNotExist:
        letter.delete()
        return
    except OSError as error:  # SMTP's own are such
        logger.error("The letter %s could not be sent: %s", letter, error)
        letter.error = str(error)[:255]
        letter.next_attempt_at = now + min(LONGEST_WAIT, timedelta(minutes=2**letter.attempts))
    else:
        letter.error, letter.sent_at = "", now
    letter.save(update_fields=["error", "next_attempt_at", "sent_at"])


def _post(letter: Letter, recipient: Recipient) -> None:
    with translation.override(recipient.language), timezone.override(recipient.zone):
        content = _content(letter, recipient)
        html, text = as_html(content), as_text(content)
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip(">")
    headers = {
        "Message-ID": f"<{letter.token}@{domain}>",
        "Auto-Submitted": "auto-generated",
    }
    message = EmailMultiAlternatives(content.subject, text, to=[letter.address], headers=headers)
    message.attach_alternative(html, "text/html")
    message.send()


def _content(letter: Letter, recipient: Recipient) -> Content:
    """Return what a letter says.

    Raises:
        Statement.DoesNotExist: it is about a mailing that was deleted.
    """
    if letter.kind == Kind.DAILY:
        return daily_letter(recipient, date.fromisoformat(letter.about))
    stated = Statement.objects.filter(mailing__deleted_at=None).select_related("mailing")
    return ending_letter(recipient, stated.get(pk=letter.about))
