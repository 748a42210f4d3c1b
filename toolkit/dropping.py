"""Dropping what is old: in short steps, whose locks and memory do not depend on how much it is."""

from math import inf
from typing import Any

from django.db.models import QuerySet

from toolkit.clock import monotonic

STEP = 1_000  # rows


def drop(old: QuerySet[Any], *, ends_at: float = inf) -> None:
    """Delete rows in short steps, until none is left or `ends_at` of `monotonic` has come.

    Args:
        old: which ones, in an order that an index serves where the table is large.
        ends_at: when to stop, which is after one step at the earliest.
    """
    while keys := list(old.values_list("pk", flat=True)[:STEP]):
        old.model._base_manager.filter(pk__in=keys).delete()
        if monotonic() > ends_at:
            return
