"""Reconciling: compares the ledger with the messages, and posts what it lacks.

Needed where something other than this code has changed messages: an earlier version that ran
beside it during a deploy, or a repair by hand.
"""

from collections import Counter
from collections.abc import Collection
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet, Value
from django.db.models.expressions import Combinable

from messages_app.ledger.accounts import NOWHERE
from messages_app.ledger.counting import account_of_row, grouped
from messages_app.ledger.folding import lock_head
from messages_app.models import Balance, Message, Posting

Difference = dict[str, int]  # {account: messages that the ledger has too few of}
Mailings = Collection[int] | QuerySet[Any, Any]  # their ids


def difference(mailing_id: int) -> Difference:
    """Return by how many messages of each account the ledger is wrong; {} when it is right."""
    return differences([mailing_id]).get(mailing_id, {})


def differences(mailings: Mailings) -> dict[int, Difference]:
    """Return {mailing's id: its difference} of those of which the ledger is wrong.

    Messages, balances and postings are read in one statement, so that it is exact beside writers.
    """
    folded = Balance.objects.filter(mailing_id__in=mailings)
    posted = Posting.objects.filter(mailing__in=mailings, position=None)
    less = -F("number")
    counted = grouped(Message.objects.filter(mailing__in=mailings), "mailing_id", Value(NOWHERE))
    rows = counted.union(
        _as_grouped(folded, "account", less),
        _as_grouped(posted, "after", less),
        _as_grouped(posted, "before", F("number")),
        all=True,
    )
    numbers: Counter[tuple[int, str]] = Counter()
    for mailing_id, name, status, *columns, number in rows:
        numbers[mailing_id, account_of_row(status, *columns) if status else name] += number
    found: dict[int, Difference] = {}
    for (mailing_id, account), number in numbers.items():
        if number and account != NOWHERE:
            found.setdefault(mailing_id, {})[account] = number
    return found


def reconcile(mailing_id: int) -> Difference:
    """Post the difference between a mailing's messages and the ledger; return it.

    Nobody waits while the messages are counted. Of several calls at once for one mailing, one posts
    and the others return {}.
    """
    with transaction.atomic():
        lock_head()  # Whoever posts a correction from now on gets a later id.
        last = Posting.objects.order_by("pk").values_list("pk", flat=True).last() or 0
    if not (found := difference(mailing_id)):
        return {}
    with transaction.atomic():
        lock_head()
        corrections = Posting.objects.filter(mailing=mailing_id, message_ids=b"")
        if corrections.filter(pk__gt=last).exists():
            return {}
        Posting.objects.bulk_create(
            Posting(
                mailing_id=mailing_id,
                before=NOWHERE if number > 0 else account,
                after=account if number > 0 else NOWHERE,
                number=abs(number),
                message_ids=b"",
            )
            for account, number in found.items()
        )
    return found


def _as_grouped(rows: QuerySet[Any], name: str, number: Combinable) -> QuerySet[Any, Any]:
    """Return rows (mailing, account, blanks, number), in the shape of `counting.grouped`."""
    return rows.order_by().values_list(
        "mailing_id", name, Value(""), Value(""), Value(False), Value(0), Value(""), number
    )
