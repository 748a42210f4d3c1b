"""Doorbells: queued or running send_message tasks, at most one for each lane of a mailing.

A mailing has as many lanes as there are sending processes. A doorbell says only that messages of
the mailing are due; which ones, the delivery reads from the database. It is answered by the task
that was queued for it, or before by any delivery at work: that serves the mailing along with its
own. A lost doorbell costs about a minute: it expires, and the next tick rings again. A repeated one
sends nothing twice (docs/adr/0001-database-is-the-truth.md, docs/adr/0023-many-mailings.md).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from math import ceil

from django.conf import settings

from messages_app import waiting
from messages_app.engine.leasing import lease_length
from messages_app.engine.records import Bell
from messages_app.mailing_snapshot import ReadMailings
from messages_app.models import Doorbell, SendingControl
from messages_app.sending import control
from toolkit import clock
from toolkit.publishing import publish

FEW = 100  # due messages for one lane, where MESSAGE_SENDER_CONCURRENCY says no number


def ring(mailing_id: int, *, now: datetime | None = None) -> None:
    """Queue send_message for a mailing that has due messages, in lanes without a live doorbell.

    It has one lane for each MESSAGE_SENDER_CONCURRENCY (or FEW) due messages, up to the
    number of sending processes. Nothing is queued while sending is blocked. Whether the mailing is
    running is not checked here: the task does it.
    """
    now = now or clock.now()
    few = settings.MESSAGE_SENDER_CONCURRENCY or FEW
    most = few * settings.MESSAGE_SENDER_PROCESSES
    number = waiting.count_due(mailing_id, now=now, limit=most)
    _ring({Bell(mailing_id, lane) for lane in range(ceil(number / few))}, now)


def ring_planned(planned: Mapping[int, int | None], *, now: datetime) -> None:
    """Ring for mailings of which so many messages (or none) were just planned, as `ring` does.

    No more tasks are queued than there are sending processes: whichever runs answers the doorbells
    of the other mailings, too.
    """
    few = settings.MESSAGE_SENDER_CONCURRENCY or FEW
    lanes = {
        Bell(mailing_id, lane)
        for mailing_id, number in planned.items()
        for lane in range(min(ceil((number or 0) / few), settings.MESSAGE_SENDER_PROCESSES))
    }
    _ring(lanes, now)


def _ring(bells: Collection[Bell], now: datetime) -> None:
    """Save doorbells in lanes that have no live one, and queue tasks for them.

    Nothing is queued while sending is blocked.
    """
    if not bells or control.is_blocked(SendingControl.objects.current(), now):
        return
    rung = Doorbell.objects.ring(bells, now=now, expires_at=now + lease_length())
    for mailing_id, lane in rung[: settings.MESSAGE_SENDER_PROCESSES]:
        if not publish("send_message", mailing_id, lane):
            # The broker did not take the task, so the next tick must be able to ring again.
            silence({Bell(*each) for each in rung})
            return


def answer(bell: Bell, now: datetime) -> bool:
    """Take a doorbell to be served; False if another delivery is serving it, or has served it.

    One that does not exist is served if messages are due: it has expired, or nobody rang.
    """
    known = Doorbell.objects.filter(mailing=bell.mailing_id, lane=bell.lane)
    if known.filter(is_answered=False).update(is_answered=True):
        return True
    return not known.exists() and waiting.count_due(bell.mailing_id, now=now, limit=1) > 0


def answer_waiting(most: int, *, besides: Collection[int], now: datetime) -> list[Bell]:
    """Take doorbells that wait, at most so many, the oldest first, of other mailings than these.

    No more than this process's share of them are taken: the others have nothing to do perhaps.
    """
    number = Doorbell.objects.count_waiting(besides, now)
    share = min(most, ceil(number / settings.MESSAGE_SENDER_PROCESSES))
    if not share:
        return []
    bells = Doorbell.objects.waiting(now).exclude(mailing__in=[*besides])
    return [Bell(*lane) for lane in bells.answer(share)]


def is_anyone_waiting(besides: Collection[int], now: datetime) -> bool:
    """Tell whether a doorbell of another mailing than these waits for a delivery."""
    return Doorbell.objects.count_waiting(besides, now) > 0


def silence(bells: Collection[Bell]) -> None:
    """Delete doorbells, so that they can be rung again."""
    by_lane: Mapping[int, list[int]] = defaultdict(list)
    for mailing_id, lane in bells:
        by_lane[lane].append(mailing_id)
    for lane, ids in by_lane.items():
        Doorbell.objects.filter(mailing__in=ids, lane=lane).delete()


def silence_waiting(bell: Bell) -> None:
    """Delete a doorbell, and those that wait, because nothing may be sent: the tick rings again."""
    silence([bell])
    Doorbell.objects.filter(is_answered=False).delete()


def hang_up(bells: Collection[Bell], read_mailings: ReadMailings, *, now: datetime) -> None:
    """Delete doorbells that were served, and ring again where messages of a mailing are due."""
    # Silence first, look second: what is planned meanwhile is seen here or rung for.
    silence(bells)
    due = waiting.mailings_due([bell.mailing_id for bell in bells], now=now)
    running = read_mailings(due, now) if due else {}
    _ring({bell for bell in bells if bell.mailing_id in running}, now)
