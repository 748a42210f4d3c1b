"""Alerts: tell by e-mail and by a webhook what keeps messages from being sent, and when it is over.

Also which mailings will miss their stop times, before they do.

Beat watches, because it needs no worker: it is they that may be missing. The database knows what
was told, so that several beats tell once.
"""

import logging
import socket
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from smtplib import SMTPException
from typing import NamedTuple

import requests
from django.conf import settings
from django.core.mail import send_mail
from django.db import connections

from mailings.progress import sent_now
from messages_app.admin.labels import named_troubles
from messages_app.admin.now import SendingNow, look
from messages_app.models import SendingControl, Told, Trouble
from toolkit.outages import tolerate_database_outage

PATIENCE = timedelta(seconds=60)  # What is over sooner is told to nobody.
LATE_PATIENCE = timedelta(minutes=10)  # How fast a mailing goes is seen only after minutes.
MOST_LATE = 5  # mailings that are told of at once
AGAIN = timedelta(minutes=1)  # until what could not be told is tried again
TIMEOUT = 10  # seconds that the webhook has to answer
LATE = "late-"  # begins the key of a mailing that will miss its stop time
TITLES = {
    "held": "Nothing is sent: this database is a copy",
    "breaker": "The sender takes no messages",
    "beat": "The clock shows no sign of life",
    "start_mailing": "Planning shows no sign of life",
    "send_message": "Sending shows no sign of life",
}

logger = logging.getLogger(__name__)


class Way(NamedTuple):
    """A way to tell of a trouble: the column that knows what was told, and what tells."""

    column: str
    tell: Callable[[Trouble], None]


def is_wanted() -> bool:
    """Tell whether anybody is to be told."""
    return bool(settings.ALERT_RECIPIENTS or settings.ALERT_WEBHOOK_URL)


def watch_once() -> None:
    """Watch in a thread of its own, of which nobody hears what goes wrong."""
    try:
        with tolerate_database_outage("Alerting"):
            watch(look())
    except Exception:
        logger.exception("Alerts could not be told.")
    finally:
        connections.close_all()


def watch(sending: SendingNow) -> None:
    """Notice what is wrong now, and what is so no longer; tell of it what is to be told."""
    control, signs, now = sending
    _notice(dict([*named_troubles(control, signs, now), *_late_mailings(control, now)]), now)
    for trouble in Trouble.objects.filter(next_at__lte=now):
        claim = Trouble.objects.filter(pk=trouble.pk, next_at=trouble.next_at)
        if claim.update(next_at=now + AGAIN):
            _tell(trouble)


def _late_mailings(control: SendingControl, now: datetime) -> Iterator[tuple[str, str]]:
    """Yield the mailings that will miss their stop times, the next to stop first."""
    late = [each for each in sent_now(control, now=now) if each.progress.late]
    late.sort(key=lambda each: each.mailing.stop_time)
    for mailing, progress, _ in late[:MOST_LATE]:
        text = f"{progress.late:,} messages will not be sent by {_at(mailing.stop_time)}."
        if progress.would_do:
            text += f" All would be by {_at(progress.would_do)}."
        yield f"{LATE}{mailing.pk}", text


def _patience(key: str) -> timedelta:
    return LATE_PATIENCE if key.startswith(LATE) else PATIENCE


def _notice(found: dict[str, str], now: datetime) -> None:
    Trouble.objects.bulk_create(
        [
            Trouble(key=key, text=text, began_at=now, next_at=now + _patience(key))
            for key, text in found.items()
        ],
        ignore_conflicts=True,
    )
    gone = Trouble.objects.filter(ended_at=None).exclude(key__in=found)
    gone.update(ended_at=now, next_at=now)
    # It came back before anybody was told that it was over.
    back = Trouble.objects.filter(key__in=found).exclude(ended_at=None)
    back.update(ended_at=None, next_at=now)


def _tell(trouble: Trouble) -> None:
    """Tell what is to be told of a trouble, by each way; forget it once its end was told."""
    wanted = Told.END if trouble.ended_at else Told.BEGIN
    is_told = True
    for way in _ways():
        told = getattr(trouble, way.column)
        if told == wanted or (wanted == Told.END and told == Told.NOTHING):
            continue  # Whoever was not told of its beginning does not care about its end.
        try:
            way.tell(trouble)
        except (OSError, SMTPException) as error:
            # Not in full: the address may be a secret.
            logger.error("An alert could not be %s: %s.", way.column, type(error).__name__)
            is_told = False
        else:
            Trouble.objects.filter(pk=trouble.pk).update(**{way.column: wanted})
    if not is_told:
        return
    if wanted == Told.END:
        Trouble.objects.filter(pk=trouble.pk, ended_at=trouble.ended_at).delete()
    else:
        Trouble.objects.filter(pk=trouble.pk, ended_at=None).update(next_at=None)


def _ways() -> Iterator[Way]:
    if settings.ALERT_RECIPIENTS:
        yield Way("mailed", _mail)
    if settings.ALERT_WEBHOOK_URL:
        yield Way("posted", _post)


def _mail(trouble: Trouble) -> None:
    lines = [
        trouble.text,
        "",
        f"Noticed at {_at(trouble.began_at)} on {socket.gethostname()}.",
        f"Over at {_at(trouble.ended_at)}."
        if trouble.ended_at
        else "'python manage.py doctor' says what else is wrong, and what to do.",
    ]
    send_mail(
        f"[Mailing Manager] {_headline(trouble)}",
        "\n".join(lines),
        settings.DEFAULT_FROM_EMAIL,
        settings.ALERT_RECIPIENTS,
    )


def _post(trouble: Trouble) -> None:
    """Post a trouble; `text` is what the webhooks of chats show."""
    content = {
        "type": "trouble.ended" if trouble.ended_at else "trouble.began",
        "text": f"{_headline(trouble)}. {trouble.text}",
        "trouble": trouble.key,
        "began_at": trouble.began_at.isoformat(),
        "ended_at": trouble.ended_at and trouble.ended_at.isoformat(),
    }
    answer = requests.post(settings.ALERT_WEBHOOK_URL, json=content, timeout=TIMEOUT)
    answer.raise_for_status()


def _headline(trouble: Trouble) -> str:
    key = trouble.key
    title = TITLES.get(key) or f"Mailing {key.removeprefix(LATE)} will miss its stop time"
    return f"Over: {title}" if trouble.ended_at else title


def _at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
