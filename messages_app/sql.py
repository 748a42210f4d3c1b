"""Helpers for SQL that the ORM cannot express, on Postgres and on SQLite."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import connection, models, transaction

# Kinds of query plans that may read or sort many more rows than the statement needs.
DISABLED_PLANS = ("seqscan", "bitmapscan", "hashjoin", "mergejoin", "sort")
INDEX_SCANS = "SELECT " + ", ".join(
    f"set_config('enable_{plan}', 'off', true)" for plan in DISABLED_PLANS
)


def is_postgres() -> bool:
    """Tell whether the database is Postgres; the other one is SQLite."""
    return connection.vendor == "postgresql"


def table_of(model: type[models.Model]) -> str:
    """Return the quoted name of a model's table."""
    return connection.ops.quote_name(model._meta.db_table)


def moment_value(moment: datetime | None) -> Any:
    """Return a time as a parameter for the database's driver."""
    return connection.ops.adapt_datetimefield_value(moment)


@contextmanager
def index_scans_only() -> Iterator[Any]:
    """Open a transaction in which Postgres finds rows by index only; yield a cursor.

    While a table is small or its statistics are old, Postgres would read or sort all of it for
    each batch: many times the work at 100,000 messages. On SQLite it is a plain transaction.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        if is_postgres():
            cursor.execute(INDEX_SCANS)
        yield cursor
