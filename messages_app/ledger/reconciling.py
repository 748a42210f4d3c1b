"""Reconciling: compares the ledger with the messages, and posts what it lacks.

Needed where something other than this code has changed messages: an earlier version that ran
beside it during a deploy, or a repair by hand.
"""

from collections import Counter
from typing import Any

from django.db import transaction
from django.db.models import CharField, F, QuerySet, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast

from messages_app.ledger.accounts import NOWHERE
from messages_app.ledger.counting import account_of_row, grouped
from messages_app.ledger.folding import lock_head
from messages_app.models import Balance, Message, Posting

ZONES_CHUNK = 5_000  # messages whose time zone one statement fills in

Difference = dict[str, int]  # {account: messages that the ledger has too few of}


def difference(mailing_id: int) -> Difference:
    """Return by how many messages of each account the ledger is wrong; {} when it is right.

    Messages, balances and postings are read in one statement, so that it is exact beside writers.
    """
    folded = Balance.objects.filter(mailing_id=mailing_id)
    posted = Posting.objects.filter(mailing=mailing_id, position=None)
    less = -F("number")
    rows = grouped(Message.objects.filter(mailing=mailing_id), Value(NOWHERE)).union(
        _as_grouped(folded, "account", less),
        _as_grouped(posted, "after", less),
        _as_grouped(posted, "before", F("number")),
        all=True,
    )
    found: Counter[str] = Counter()
    for name, status, *columns, number in rows:
        found[account_of_row(status, *columns) if status else name] += number
    return {name: number for name, number in found.items() if number and name != NOWHERE}


def reconcile(mailing_id: int) -> Difference:
    """Post the difference between a mailing's messages and the ledger; return it.

    Whoever folds waits meanwhile, and nobody else.
    """
    with transaction.atomic():
        lock_head()
        found = difference(mailing_id)
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


def fill_in_timezones(mailing_id: int) -> bool:
    """Give messages that an earlier version planned the time zone of their client, up to a chunk.

    Returns:
        Whether there may be more.
    """
    unknown = Message.objects.filter(mailing=mailing_id, timezone="", client__isnull=False)
    ids = list(unknown.order_by().values_list("pk", flat=True)[:ZONES_CHUNK])
    zone = Cast("client__timezone", CharField())
    zones = dict(Message.objects.filter(pk__in=ids).values_list("pk", zone))
    by_zone: dict[str, list[int]] = {}
    for pk, name in zones.items():
        by_zone.setdefault(name, []).append(pk)
    for name, of_zone in by_zone.items():
        Message.objects.filter(pk__in=of_zone).update(timezone=name)
    return len(ids) == ZONES_CHUNK


def _as_grouped(rows: QuerySet[Any], name: str, number: Combinable) -> QuerySet[Any, Any]:
    """Return rows of the ledger in the shape of `counting.grouped`: (account, blanks, number)."""
    return rows.order_by().values_list(
        name, Value(""), Value(""), Value(False), Value(0), Value(""), number
    )
