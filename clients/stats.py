"""Counts of clients: how many there are, and of what kind."""

from collections import Counter

from django.db.models import Count, QuerySet

from clients import tally
from clients.audience import KEYS, Filters
from clients.models import Client

MAX_VALUES = 1000  # distinct values of a field that are told; the most frequent ones
NAMES = {"operator_code": "operator_codes", "tag": "tags", "timezone": "timezones"}


def client_stats(clients: QuerySet[Client], filters: Filters | None) -> dict[str, object]:
    """Return the number of clients, and by each field that filters select by.

    `filters` are those of a mailing that select the same clients, if there are such: then nothing
    is counted.
    """
    kinds = None if filters is None else tally.kinds_of(filters)
    if kinds is None:
        numbers = {key: _count_by(clients, key) for key in KEYS}
    else:
        numbers = {key: tally.sums_by(key, kinds) for key in KEYS}
    total = clients.count() if kinds is None else kinds.total()
    return {"total": total, **{NAMES[key]: most_frequent(of) for key, of in numbers.items()}}


def most_frequent(numbers: Counter[str]) -> dict[str, int]:
    """Return the most frequent values, those with most clients first."""
    by_size = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    return dict(by_size[:MAX_VALUES])


def _count_by(clients: QuerySet[Client], field: str) -> Counter[str]:
    """Return {value: number of clients} of the most frequent values."""
    rows = clients.values_list(field).annotate(number=Count("pk")).order_by("-number", field)
    return Counter({str(value): number for value, number in rows[:MAX_VALUES]})
