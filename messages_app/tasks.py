"""The send_message task and its doorbells.

A doorbell says that a mailing has something to send; what that is, the database knows. Losing
one costs a minute (it expires, and the tick rings again), ringing twice sends nothing twice.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from math import ceil

from celery import shared_task
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import Exists, OuterRef

from messages_app.engine import pump, recovery
from messages_app.engine.bulk import running_mailings
from messages_app.models import Brakes, Doorbell, Heartbeat, Message
from messages_app.sending import control
from toolkit import clock
from toolkit.publishing import publish

logger = logging.getLogger(__name__)


@shared_task(name="send_message")
def send_message(mailing_id: int | None = None, lane: int = 0) -> None:
    """Deliver due messages of one mailing for a while, then queue again if more are due.

    Without an id: look for what is due and nobody has rung for (the tick).
    """
    with patience("Sending"):
        Heartbeat.objects.beat("send_message", clock.now())
        if mailing_id is None:
            _ring_all()
            return
        pump.deliver(mailing_id)
        # Silence first, look second: what is planned in between is either seen here or rung for.
        Doorbell.objects.filter(mailing=mailing_id, lane=lane).delete()
        ring(mailing_id, lanes=[lane])


@contextmanager
def patience(what: str) -> Iterator[None]:
    """Let a task end quietly when the database is away: the next tick finds what is left."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        reason = str(error).strip().partition("\n")[0]
        logger.error("%s waits for the database, which does not answer: %s", what, reason)


def ring(
    mailing_id: int, *, now: datetime | None = None, lanes: Sequence[int] | None = None
) -> None:
    """Queue send_message if something is due, where no doorbell waits already.

    For a few messages one sending process is rung for, for many messages each of them.
    """
    now = now or clock.now()
    few = settings.MESSAGE_SENDER_CONCURRENCY
    most = few * settings.MESSAGE_SENDER_PROCESSES
    number = Message.objects.filter(mailing=mailing_id).deliverable(now).count_up_to(most)
    if not number or control.hold(Brakes.objects.current(), now):
        return
    rung = Doorbell.objects.ring(
        mailing_id=mailing_id,
        lanes=lanes or range(ceil(number / few)),
        now=now,
        expires_at=now + pump.lease_length(),
    )
    for lane in rung:
        if not publish(send_message, mailing_id, lane):
            # A bell that nobody hears must not keep the next tick from ringing.
            Doorbell.objects.filter(mailing=mailing_id, lane__in=rung).delete()
            return


def _ring_all() -> None:
    """Free what dead workers held, and ring for all that is due."""
    now = clock.now()
    recovery.settle_orphans(now=now)
    recovery.take_back_expired(now=now)
    if control.hold(Brakes.objects.current(), now):
        return
    due = Message.objects.filter(mailing=OuterRef("pk")).due(now)
    bells = Doorbell.objects.filter(mailing=OuterRef("pk")).live(now)
    silent = running_mailings(now).filter(Exists(due), ~Exists(bells))
    for pk in silent.values_list("pk", flat=True).order_by("?"):
        ring(pk)
