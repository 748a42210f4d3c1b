"""Counts of clients: how many there are, and of what kind."""

from django.db.models import Count, QuerySet

from clients.models import Client

MAX_VALUES = 1000  # distinct values of a field that are counted; the most frequent ones


def client_stats(clients: QuerySet[Client]) -> dict[str, object]:
    """Return the number of clients, and by each field that filters select by, in four queries."""
    return {
        "total": clients.count(),
        "operator_codes": _count_by(clients, "operator_code"),
        "tags": _count_by(clients, "tag"),
        "timezones": _count_by(clients, "timezone"),
    }


def _count_by(clients: QuerySet[Client], field: str) -> dict[str, int]:
    """Return {value: number of clients}, the most frequent first."""
    rows = clients.values_list(field).annotate(number=Count("pk")).order_by("-number", field)
    return {str(value): number for value, number in rows[:MAX_VALUES]}
