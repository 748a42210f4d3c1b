"""The send_message task and its doorbells.

A doorbell says that a mailing has something to send; what that is, the database knows. Losing
one costs a minute (the tick rings again), ringing twice sends nothing twice.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta

from celery import Task, shared_task
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import OperationalError

from messages_app import delivery
from messages_app.models import Doorbell, Message

DOORBELL_LIFE = timedelta(seconds=60)

logger = logging.getLogger(__name__)


@shared_task(name="send_message")
def send_message(mailing_id: int, lane: int = 0) -> None:
    """Deliver due messages of one mailing for a while, then queue again if more are due."""
    try:
        delivery.deliver(mailing_id)
    except delivery.HaltedError:
        return  # The bell stays, so that nobody rings again before it expires.
    # Silence first, look second: what is planned in between is either seen here or rung for.
    Doorbell.objects.filter(mailing=mailing_id, lane=lane).delete()
    ring(mailing_id, lanes=[lane])


def ring(mailing_id: int, *, lanes: Sequence[int] | None = None) -> None:
    """Queue send_message if something is due, once a sending process and not where one waits."""
    now = timezone.now()
    if not Message.objects.filter(mailing=mailing_id).deliverable(now).exists():
        return
    rung = Doorbell.objects.ring(
        mailing_id=mailing_id,
        lanes=range(settings.MESSAGE_SENDER_PROCESSES) if lanes is None else lanes,
        now=now,
        expires_at=now + DOORBELL_LIFE,
    )
    for lane in rung:
        if not publish(send_message, mailing_id, lane):
            # A bell that nobody hears must not keep the next tick from ringing.
            Doorbell.objects.filter(mailing=mailing_id, lane__in=rung).delete()
            return


def publish(task: "Task[..., None]", *args: int) -> bool:
    """Queue a task; tell whether the broker took it. If not, the next tick makes up for it."""
    try:
        task.apply_async(args, expires=DOORBELL_LIFE.total_seconds())
    except OperationalError as error:
        logger.warning("%s%s waits for the next tick: no broker (%s).", task.name, args, error)
        return False
    return True
