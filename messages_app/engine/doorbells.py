"""Doorbells: queued send_message tasks, of which each lane of a mailing has at most one.

A doorbell says that a mailing has something to send; what that is, the database knows. Losing
one costs a minute (it expires, and the tick rings again), ringing twice sends nothing twice. A
mailing has as many lanes as there are sending processes.
"""

from collections.abc import Sequence
from datetime import datetime
from math import ceil

from django.conf import settings

from messages_app.engine.pump import lease_length
from messages_app.models import Doorbell, Message, SendingControl
from messages_app.sending import control
from toolkit import clock
from toolkit.publishing import publish


def ring(
    mailing_id: int, *, now: datetime | None = None, lanes: Sequence[int] | None = None
) -> None:
    """Queue send_message if messages are due, where no doorbell waits already.

    For a few messages one sending process is rung for, for many messages each of them. Whether
    the mailing is running, the delivery finds out.
    """
    now = now or clock.now()
    few = settings.MESSAGE_SENDER_CONCURRENCY
    most = few * settings.MESSAGE_SENDER_PROCESSES
    number = Message.objects.filter(mailing=mailing_id).due(now).count_up_to(most)
    if not number or control.is_blocked(SendingControl.objects.current(), now):
        return
    rung = Doorbell.objects.ring(
        mailing_id=mailing_id,
        lanes=lanes or range(ceil(number / few)),
        now=now,
        expires_at=now + lease_length(),
    )
    for lane in rung:
        if not publish("send_message", mailing_id, lane):
            # A bell that nobody hears must not keep the next tick from ringing.
            Doorbell.objects.filter(mailing=mailing_id, lane__in=rung).delete()
            return


def silence(mailing_id: int, lane: int) -> None:
    """Let a lane's doorbell be rung again, because the task that heard it is done."""
    Doorbell.objects.filter(mailing=mailing_id, lane=lane).delete()
