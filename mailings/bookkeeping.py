"""Bookkeeping: what keeps the ledger whole, short and in order. The ticks call it.

An earlier version that runs beside this one during a deploy changes messages without posting that.
The mailings it may have changed are taken out of the ledger, are counted by their messages
meanwhile, and are taken in again when it is gone.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings

from clients import tally
from mailings.models import Mailing
from messages_app import waiting
from messages_app.ledger import folding, reconciling
from messages_app.models import Heartbeat, LedgerHead
from messages_app.sending import pulse
from toolkit.clock import monotonic
from toolkit.history.models import Entry

TIME_BOX = 1.0  # seconds that one tick takes mailings in, and that it drops history
GONE = timedelta(minutes=2)  # without a heartbeat, an earlier version has stopped

logger = logging.getLogger(__name__)


def keep_books(*, now: datetime) -> None:
    """Fold what is posted and tallied, drop what is old, and take mailings into the ledger."""
    folding.fold_all()
    tally.fold()
    folding.drop_old(before=now - timedelta(days=settings.LEDGER_DAYS))
    pulse.drop_old(now=now)
    if settings.HISTORY_DAYS:
        before = now - timedelta(days=settings.HISTORY_DAYS)
        Entry.objects.drop_old(before=before, ends_at=monotonic() + TIME_BOX)
    if former_at := Heartbeat.objects.last_of_former():
        _take_out(former_at)
    if is_former_at_work(now):
        _find_lost()
    else:
        _take_in(now)


def is_former_at_work(now: datetime) -> bool:
    """Tell whether workers of an earlier version were seen just now."""
    former_at = Heartbeat.objects.last_of_former()
    return former_at is not None and former_at >= now - GONE


def take_in(mailing: Mailing, *, now: datetime) -> None:
    """Have the ledger agree with a mailing's messages, and read counts from it from now on."""
    is_known = mailing.ledger_at is not None
    if not is_known:
        waiting.find_lost(mailing.pk)
        waiting.mend_queue(mailing.pk)
    missing = reconciling.reconcile(mailing.pk)
    if missing and is_known:
        logger.warning(
            "Mailing %s: the ledger was corrected by %s; something else has changed its messages.",
            mailing.pk,
            missing,
            extra={"mailing": mailing.pk},
        )
    if not is_known:
        Mailing.objects.filter(pk=mailing.pk).update(ledger_at=now)


def _take_out(former_at: datetime) -> None:
    """Take open mailings out, if an earlier version was seen since they were taken in."""
    seen = LedgerHead.objects.filter(former_at__gte=former_at)
    if seen.exists():
        return
    Mailing.objects.open().update(ledger_at=None)
    LedgerHead.objects.update(former_at=former_at)


def _find_lost() -> None:
    """Mend line and queue, which an earlier version does not know, for TIME_BOX seconds."""
    ends_at = monotonic() + TIME_BOX
    for pk in Mailing.objects.open().order_by("?").values_list("pk", flat=True):
        waiting.find_lost(pk)
        waiting.mend_queue(pk)
        if monotonic() > ends_at:
            return


def _take_in(now: datetime) -> None:
    """Take in mailings that are not in the ledger, the newest first, for TIME_BOX seconds."""
    ends_at = monotonic() + TIME_BOX
    for mailing in Mailing.objects.filter(ledger_at=None).iterator(chunk_size=10):
        take_in(mailing, now=now)
        if monotonic() > ends_at:
            return
