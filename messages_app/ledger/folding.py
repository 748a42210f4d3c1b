"""Folding: puts committed postings into one order, and sums them up into counts.

Transactions commit in another order than their postings got their ids in. So postings get their
place only here, by one worker at a time and when they are committed: what has a position has
nothing missing before it, whoever writes at once and however long a transaction stays open.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max, Q, QuerySet, Sum

from messages_app.ledger.accounts import NOWHERE, parse
from messages_app.models import Balance, LedgerHead, MinuteTotal, Posting
from messages_app.models.ledger import ALL_MAILINGS
from toolkit.sums import Key, add_to

BATCH = 1_000  # postings folded in one transaction
DROPPED = 1_000  # rows dropped in one transaction
BALANCE_KEY = ("mailing_id", "account")
MINUTE_KEY = ("mailing_id", "began_at", "minutes", "state", "error_code")


def fold() -> int:
    """Fold what is committed, up to BATCH postings; return their number.

    Returns 0 if another worker is folding just now.
    """
    with transaction.atomic():
        head = lock_head(skip_locked=True)
        # Without the ids: those of ten million messages are 80 MB, and a request may wait here.
        unfolded = Posting.objects.filter(position=None).defer("message_ids")
        unfolded = unfolded.annotate(is_correction=Q(message_ids=b""))
        postings = list(unfolded.order_by("pk")[:BATCH]) if head else []
        if not head or not postings:
            return 0
        head.position += 1
        head.save(update_fields=["position"])
        Posting.objects.filter(pk__in=[each.pk for each in postings]).update(position=head.position)
        _add_to_balances(postings)
        _add_to_minutes(postings)
    return len(postings)


def fold_all() -> None:
    """Fold all that is committed."""
    while fold() == BATCH:
        pass


def lock_head(*, skip_locked: bool = False) -> LedgerHead | None:
    """Return the ledger's one row, locked until the transaction ends.

    A missing one (an emptied table) is made anew, behind all postings there are. With
    `skip_locked`, returns None if another worker has locked it.
    """
    locked = LedgerHead.objects.select_for_update(skip_locked=skip_locked)
    if (head := locked.first()) or LedgerHead.objects.exists():
        return head
    position = Posting.objects.aggregate(last=Max("position"))["last"]
    LedgerHead.objects.bulk_create(
        [LedgerHead(pk=1, position=position or 0)], ignore_conflicts=True
    )
    return locked.first()


def misfolded(mailings: QuerySet[Any, Any]) -> set[int]:
    """Return those of these mailings whose balances are not the sum of their folded postings.

    Only right for mailings of which all postings are kept. `mailings` are their ids.
    """
    numbers: Counter[tuple[int, str]] = Counter()
    for mailing_id, account, number in Balance.objects.filter(mailing_id__in=mailings).values_list(
        "mailing_id", "account", "number"
    ):
        numbers[mailing_id, account] += number
    folded = Posting.objects.filter(mailing__in=mailings, position__isnull=False).order_by()
    for name, sign in (("before", 1), ("after", -1)):
        rows = folded.values_list("mailing_id", name).annotate(Sum("number"))
        for mailing_id, account, number in rows:
            numbers[mailing_id, account] += sign * number
    return {mailing_id for (mailing_id, account), n in numbers.items() if n and account}


def forget(mailing_id: int) -> None:
    """Take a mailing that is being deleted out of the counts. Its changes stay in the feed."""
    with transaction.atomic():
        lock_head()
        fold_all()  # Its last changes, too, are told and then taken out.
        gone = Balance.objects.filter(mailing_id=mailing_id)
        add_to(
            Balance,
            BALANCE_KEY,
            Counter({(ALL_MAILINGS, each.account): -each.number for each in gone}),
        )
        Balance.objects.filter(mailing_id=ALL_MAILINGS, number=0).delete()
        gone.delete()
        MinuteTotal.objects.filter(mailing_id=mailing_id).delete()


def drop_old(*, before: datetime) -> None:
    """Drop folded postings from before a time, and sum up minutes from before it to hours."""
    _drop_postings(before)
    while _sum_up_minutes(before) == DROPPED:
        pass


def _drop_postings(before: datetime) -> None:
    """Drop the oldest, batch by batch, until one is young enough.

    The last batch stays whatever its age: the cursor of a reader who has read all points at it.
    """
    last = LedgerHead.objects.values("position")[:1]
    folded = Posting.objects.filter(position__lt=last).order_by("position", "pk")
    is_more = True
    while is_more:
        oldest = list(folded.values_list("pk", "at")[:DROPPED])
        ids = [pk for pk, at in oldest if at < before]
        Posting.objects.filter(pk__in=ids).delete()
        is_more = len(ids) == DROPPED


def _sum_up_minutes(before: datetime) -> int:
    """Replace up to DROPPED totals of minutes by those of their hours; return their number."""
    with transaction.atomic():
        lock_head()
        minutes = list(
            MinuteTotal.objects.filter(minutes=1, began_at__lt=before).order_by("pk")[:DROPPED]
        )
        totals: Counter[Key] = Counter()
        for each in minutes:
            hour = each.began_at.replace(minute=0)
            totals[each.mailing_id, hour, 60, each.state, each.error_code] += each.number
        add_to(MinuteTotal, MINUTE_KEY, totals)
        MinuteTotal.objects.filter(pk__in=[each.pk for each in minutes]).delete()
    return len(minutes)


def _add_to_balances(postings: Sequence[Posting]) -> None:
    numbers: Counter[Key] = Counter()
    for each in postings:
        for mailing_id in (each.mailing_id, ALL_MAILINGS):
            if each.before != NOWHERE:
                numbers[mailing_id, each.before] -= each.number
            if each.after != NOWHERE:
                numbers[mailing_id, each.after] += each.number
    add_to(Balance, BALANCE_KEY, numbers)
    emptied = {mailing_id for (mailing_id, _), number in numbers.items() if number < 0}
    Balance.objects.filter(mailing_id__in=emptied, number=0).delete()


def _add_to_minutes(postings: Sequence[Any]) -> None:
    """Count in which minute messages came to their states.

    The postings have an `is_correction`: of a count only, for which no message did anything.
    """
    numbers: Counter[Key] = Counter()
    for each in postings:
        if each.after == NOWHERE or each.is_correction:
            continue
        account, minute = parse(each.after), each.at.replace(second=0, microsecond=0)
        if each.before != NOWHERE and parse(each.before).state == account.state:
            continue  # It was in this state before.
        for mailing_id in (each.mailing_id, ALL_MAILINGS):
            numbers[mailing_id, minute, 1, account.state, account.error_code] += each.number
    add_to(MinuteTotal, MINUTE_KEY, numbers)
