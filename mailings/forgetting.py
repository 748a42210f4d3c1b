"""Forgetting: takes the phone numbers out of the messages of mailings that ended long ago."""

from datetime import datetime, timedelta
from math import inf

from django.conf import settings
from django.db import transaction

from mailings.models import ALL_FORGOTTEN, Mailing
from messages_app import erasing
from toolkit.clock import monotonic


def forget_numbers(*, now: datetime, ends_at: float = inf) -> None:
    """Forget the numbers of MESSAGE_NUMBERS_DAYS ago, in short steps until `ends_at`.

    That is in seconds of `monotonic`. It goes on where the last call stopped.
    """
    if not settings.MESSAGE_NUMBERS_DAYS:
        return
    before = now - timedelta(days=settings.MESSAGE_NUMBERS_DAYS)
    while _forget_chunk(before):
        if monotonic() > ends_at:
            return


def _forget_chunk(before: datetime) -> bool:
    """Forget the numbers of some messages. Returns whether there may be more."""
    with transaction.atomic():
        old = Mailing.objects.with_numbers(before=before)
        mailing = old.select_for_update(no_key=True, skip_locked=True).first()
        if not mailing:
            return False
        last = erasing.forget_numbers(mailing.pk, after=mailing.numbers_forgotten_up_to or 0)
        mailing.numbers_forgotten_up_to = ALL_FORGOTTEN if last is None else last
        mailing.save(update_fields=["numbers_forgotten_up_to"])
        return True
