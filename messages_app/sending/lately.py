"""Lately: what the sender answered in the last minutes, what failed last, and who waits now."""

from collections import Counter
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Sum

from messages_app import waiting
from messages_app.ledger.accounts import FAIL, PENDING, RETRY, SUCCESS
from messages_app.ledger.balances import Balances, balances
from messages_app.models import Attempt, Doorbell, ErrorCode, Lease, MinuteTotal, Posting
from messages_app.models.ledger import ALL_MAILINGS
from messages_app.sending.pace import rates_now

MINUTE = timedelta(minutes=1)
LATELY = 5 * MINUTE
LOOKED_AT = 100  # attempts, to find failed ones among
SHOWN = 5  # mailings that wait
# Of messages that were given up without being tried.
UNTRIED = {
    ErrorCode.EXPIRED,
    ErrorCode.OUT_OF_WINDOW,
    ErrorCode.NOT_MATCHED,
    ErrorCode.CANCELLED,
}


class Waiting(NamedTuple):
    """What of a mailing waits: since when the first of them is due, and how fast it goes."""

    mailing_id: int
    number: int
    due_since: datetime | None
    rate: float


def outcomes_lately(*, now: datetime) -> dict[str, int]:
    """Return {error code: attempts that ended so in the last LATELY minutes}; "" is accepted.

    Messages that were given up without being tried are not among them.
    """
    rows = MinuteTotal.objects.filter(
        mailing_id=ALL_MAILINGS,
        began_at__gt=now - LATELY - MINUTE,
        minutes=1,
        state__in=(SUCCESS, RETRY, FAIL),
    )
    found = Counter(dict(rows.order_by().values_list("error_code").annotate(Sum("number"))))
    return {code: number for code, number in found.most_common() if code not in UNTRIED and number}


def rate_now(*, now: datetime) -> float:
    """Return the messages a second that the sender accepted in the last minute, of all mailings."""
    posted = Posting.objects.filter(position=None, after__startswith=f"{SUCCESS}|")
    number: int = posted.aggregate(sum=Sum("number", default=0))["sum"]
    return rates_now([ALL_MAILINGS], now=now)[ALL_MAILINGS] + number / MINUTE.total_seconds()


def last_failures(number: int) -> list[Attempt]:
    """Return the last attempts that failed, with their messages, the newest first."""
    newest = Attempt.objects.order_by("-pk").select_related("message")[:LOOKED_AT]
    return [attempt for attempt in newest if attempt.error_code][:number]


def waiting_now(*, now: datetime) -> tuple[list[Waiting], int]:
    """Return what waits of the mailings that have messages due, most first; and of all of them."""
    due = Doorbell.objects.order_by().values_list("mailing_id", flat=True).distinct()
    held = Lease.objects.order_by().values_list("mailing_id", flat=True).distinct()
    ids = set(due) | set(held)
    numbers = {pk: _left(found) for pk, found in balances(ids).items()}
    most = sorted(numbers, key=lambda pk: (-numbers[pk], pk))[:SHOWN]
    rates = rates_now(most, now=now)
    shown = [
        Waiting(pk, numbers[pk], waiting.next_attempt_at(pk), rates[pk])
        for pk in most
        if numbers[pk] > 0
    ]
    return shown, sum(numbers.values())


def _left(found: Balances) -> int:
    return sum(n for account, n in found.items() if account.state in (PENDING, RETRY))
