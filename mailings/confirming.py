"""Confirming: makes all messages of a mailing a success of which an operator says they arrived.

Step by step, each a transaction of its own, however many they are.
"""

from datetime import datetime

from django.db import transaction

from mailings.models import Mailing
from mailings.stats import balances_of
from messages_app import arrivals
from messages_app.ledger.accounts import FAIL
from messages_app.models import ErrorCode
from toolkit.clock import monotonic


def unconfirmed_in(mailing: Mailing) -> int:
    """Return of how many messages nobody knows whether they arrived, without those tried again."""
    return sum(
        number
        for account, number in balances_of([mailing])[mailing.pk].items()
        if (account.state, account.error_code) == (FAIL, ErrorCode.UNCONFIRMED)
    )


def confirm_asked(mailing_id: int, *, now: datetime, ends_at: float) -> bool:
    """Confirm what somebody has said arrived, until `ends_at` of `monotonic`.

    Returns:
        Whether there is more to do.
    """
    while _confirm_chunk(mailing_id, now):
        if monotonic() > ends_at:
            return True
    return False


def _confirm_chunk(mailing_id: int, now: datetime) -> bool:
    """Take one step. Returns whether there are more.

    Where it goes on is saved with the mailing in the same transaction. Of several calls for one
    mailing at once, one does it and the others return False.
    """
    with transaction.atomic():
        asked = Mailing.objects.filter(pk=mailing_id).to_confirm()
        mailing = asked.select_for_update(skip_locked=True, no_key=True).first()
        if mailing is None or mailing.confirm_asked_at is None:
            return False
        number, last = arrivals.accept_unconfirmed(
            mailing_id,
            after=mailing.confirmed_up_to or 0,
            asked_at=mailing.confirm_asked_at,
            now=now,
        )
        mailing.confirmed_up_to = last if unconfirmed_in(mailing) else None
        mailing.save(update_fields=["confirmed_up_to"])
        mailing.count_late_success(number)
    return mailing.confirmed_up_to is not None
