"""Sums that rows keep, which several processes add to."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Model

Key = tuple[Any, ...]


def add_to(model: type[Model], columns: Sequence[str], numbers: Mapping[Key, int]) -> None:
    """Add to the `number` of the rows that have these keys in `columns`; make those missing.

    A constraint of the model says that there is one row for each key. They are written in order,
    so that two at once cannot deadlock.
    """
    rows = [(*key, number) for key, number in sorted(numbers.items()) if number]
    if not rows:
        return
    table, names = connection.ops.quote_name(model._meta.db_table), ", ".join(columns)
    values = ", ".join([f"({', '.join(['%s'] * (len(columns) + 1))})"] * len(rows))
    moment = connection.ops.adapt_datetimefield_value
    params = [moment(x) if isinstance(x, datetime) else x for row in rows for x in row]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({names}, number) VALUES {values} ON CONFLICT ({names})"
            f" DO UPDATE SET number = {table}.number + excluded.number",
            params,
        )
