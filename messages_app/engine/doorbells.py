"""Doorbells: queued send_message tasks, at most one for each lane of a mailing.

A mailing has as many lanes as there are sending processes. A doorbell says only that messages of
the mailing are due; which ones, the task reads from the database. A lost doorbell costs about a
minute: it expires, and the next tick rings again. A repeated one sends nothing twice
(docs/adr/0001-database-is-the-truth.md, docs/adr/0006-lanes-leases-indexes.md).
"""

from collections.abc import Sequence
from datetime import datetime
from math import ceil

from django.conf import settings

from messages_app import waiting
from messages_app.engine.pump import lease_length
from messages_app.models import Doorbell, SendingControl
from messages_app.sending import control
from toolkit import clock
from toolkit.publishing import publish

FEW = 100  # due messages for one lane, where MESSAGE_SENDER_CONCURRENCY says no number


def ring(
    mailing_id: int, *, now: datetime | None = None, lanes: Sequence[int] | None = None
) -> None:
    """Queue send_message for a mailing that has due messages, in lanes without a live doorbell.

    Without `lanes`: one lane for each MESSAGE_SENDER_CONCURRENCY (or FEW) due messages, up to the
    number of sending processes. Nothing is queued while sending is blocked. Whether the mailing is
    running is not checked here: the task does it.
    """
    now = now or clock.now()
    few = settings.MESSAGE_SENDER_CONCURRENCY or FEW
    most = few * settings.MESSAGE_SENDER_PROCESSES
    number = waiting.count_due(mailing_id, now=now, limit=most)
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
            # The broker did not take the task, so the next tick must be able to ring again.
            Doorbell.objects.filter(mailing=mailing_id, lane__in=rung).delete()
            return


def silence(mailing_id: int, lane: int) -> None:
    """Delete a lane's doorbell once its task has delivered, so that it can be rung again."""
    Doorbell.objects.filter(mailing=mailing_id, lane=lane).delete()
