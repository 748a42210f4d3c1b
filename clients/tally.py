"""The tally: how many clients there are of each kind, told without looking at one.

Triggers of the database write what each statement changes (docs/adr/0048-clients-counted.md).
"""

from collections import Counter
from typing import Any

from django.db import transaction
from django.db.models import Count, F, Sum, Value

from clients.audience import KEYS, Filters, matching
from clients.models import Client, Tally, TallyChange
from toolkit.sums import add_to

MOST_KINDS = 100_000  # that are read; of more, clients are as quick to count
BATCH = 5_000  # changes folded in one transaction

Kind = tuple[str, str, str]  # operator code, tag, time zone
Kinds = Counter[Kind]  # clients of each


def kinds_of(filters: Filters) -> Kinds | None:
    """Return how many clients of each kind filters select now; None if the kinds are too many."""
    condition = matching(filters)
    folded = Tally.objects.filter(condition).values_list(*KEYS, "number")
    changes = TallyChange.objects.filter(condition).values_list(*KEYS)
    # Both by one statement: what is folded meanwhile would be missed, or counted twice.
    both = folded.union(changes.annotate(total=Sum("number")), all=True)
    rows = list(both[: MOST_KINDS + 1])
    return _summed(rows) if len(rows) <= MOST_KINDS else None


def number_of(filters: Filters) -> int:
    """Return how many clients filters select now."""
    folded, changes = (
        model.objects.filter(matching(filters))
        .values_list(Value(0))
        .annotate(total=Sum("number", default=0))
        for model in (Tally, TallyChange)
    )
    return sum(int(number) for _, number in folded.union(changes, all=True))


def sums_by(key: str, kinds: Kinds) -> Counter[str]:
    """Return {value: clients} by one of the keys of filters."""
    numbers: Counter[str] = Counter()
    place = KEYS.index(key)
    for kind, number in kinds.items():
        numbers[kind[place]] += number
    return numbers


def fold() -> None:
    """Fold into the tally what has changed until now, so that there is little to read."""
    while _fold_some() == BATCH:
        pass
    emptied = Tally.objects.filter(number=0).select_for_update(skip_locked=True)
    Tally.objects.filter(pk__in=emptied.values("pk")).delete()


def differences() -> Kinds:
    """Return by how many clients of each kind the tally is wrong; empty when it is right.

    It reads all clients, and the tally in the same statement, so it is exact beside writers.
    """
    folded, changes = (
        model.objects.values_list(*KEYS, -F("number")) for model in (Tally, TallyChange)
    )
    clients = Client.objects.order_by().values_list(*KEYS).annotate(total=Count("pk"))
    return _summed(folded.union(changes, clients, all=True))


def correct() -> Kinds:
    """Correct the tally where something else than its triggers has changed it; return by what.

    Two at once would both do so: it is called by hand (docs/operations.md).
    """
    found = differences()
    TallyChange.objects.bulk_create(
        TallyChange(**dict(zip(KEYS, kind, strict=True)), number=number)
        for kind, number in found.items()
    )
    return found


def _fold_some() -> int:
    """Fold up to BATCH changes that nobody else folds just now; return their number."""
    with transaction.atomic():
        unfolded = TallyChange.objects.select_for_update(skip_locked=True).order_by("pk")
        rows = list(unfolded.values_list("pk", *KEYS, "number")[:BATCH])
        TallyChange.objects.filter(pk__in=[pk for pk, *_ in rows]).delete()
        add_to(Tally, KEYS, _summed(row[1:] for row in rows))
    return len(rows)


def _summed(rows: Any) -> Kinds:
    """Return the sums of rows (*kind, number), without those that are 0."""
    kinds: Kinds = Counter()
    for operator_code, tag, zone, number in rows:
        kinds[operator_code, tag, zone] += int(number)  # a sum of Postgres's is a Decimal
    return Counter({kind: number for kind, number in kinds.items() if number})
