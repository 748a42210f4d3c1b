"""Balances: how many messages are in which state now, without looking at a message.

A balance is what is folded and what is posted since, read in one statement: exact at any moment.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from django.db.models import F, QuerySet

from messages_app.ledger.accounts import NOWHERE, Account, parse
from messages_app.models import Balance, Posting
from messages_app.models.ledger import ALL_MAILINGS

Balances = Mapping[Account, int]  # messages by account


def balances(mailing_ids: Collection[int]) -> dict[int, Balances]:
    """Return {mailing's id: its balances}; a mailing without messages has none."""
    folded = Balance.objects.filter(mailing_id__in=mailing_ids)
    return _summed(folded, Posting.objects.filter(mailing__in=mailing_ids)) if mailing_ids else {}


def total_balances() -> Balances:
    """Return the balances of all mailings together."""
    folded = Balance.objects.filter(mailing_id=ALL_MAILINGS)
    by_mailing = _summed(folded, Posting.objects.all()).values()
    return sum_of(item for of_mailing in by_mailing for item in of_mailing.items())


def _summed(folded: QuerySet[Balance], posted: QuerySet[Posting]) -> dict[int, Balances]:
    posted = posted.filter(position=None).order_by()
    rows = (
        folded.order_by()
        .values_list("mailing_id", "account", "number")
        .union(
            posted.values_list("mailing_id", "after", "number"),
            posted.annotate(less=-F("number")).values_list("mailing_id", "before", "less"),
            all=True,
        )
    )
    by_mailing: dict[int, Counter[Account]] = {}
    for mailing_id, account, number in rows:
        if account != NOWHERE:
            by_mailing.setdefault(mailing_id, Counter())[parse(account)] += number
    return dict(by_mailing)


def sum_of(items: Iterable[tuple[Account, int]]) -> Balances:
    """Add up pairs of an account and a number."""
    numbers: Counter[Account] = Counter()
    for account, number in items:
        numbers[account] += number
    return numbers
