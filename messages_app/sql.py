"""Helpers for SQL that the ORM cannot express, on Postgres and on SQLite."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, models, transaction
from django.db.models.expressions import RawSQL
from django.db.models.sql import UpdateQuery

# What may read or sort many more rows than the statement needs. And compiling: Postgres counts a
# disabled step, where there is no other way, as so dear that it would compile the statement.
DISABLED = (
    "enable_seqscan",
    "enable_bitmapscan",
    "enable_hashjoin",
    "enable_mergejoin",
    "enable_sort",
    "jit",
)
Row = tuple[Any, ...]


class Condition(NamedTuple):
    """A condition in SQL, and its parameters."""

    sql: str
    params: tuple[Any, ...]


class Statement(NamedTuple):
    """A statement in SQL, and its parameters."""

    sql: str
    params: Sequence[Any] = ()


INDEX_SCANS = Statement(
    "SELECT " + ", ".join(f"set_config('{name}', 'off', true)" for name in DISABLED)
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


def one_of(column: str, numbers: Iterable[int]) -> Condition:
    """Return a condition that selects rows in which a column has one of these numbers.

    A list of thousands is read and planned in a fraction of the time that IN takes.
    """
    listed = ",".join(map(str, numbers))
    if is_postgres():
        return Condition(f"{column} = ANY (%s::bigint[])", (f"{{{listed}}}",))
    return Condition(f"{column} IN (SELECT value FROM json_each(%s))", (f"[{listed}]",))


def has_id(ids: Iterable[int], column: str = "id") -> RawSQL:
    """Return a condition on ids for a filter; `column` has its table where others have an `id`."""
    condition, params = one_of(column, ids)
    return RawSQL(condition, params, output_field=models.BooleanField())  # nosec B611


def update_returning(
    rows: models.QuerySet[Any], values: dict[str, Any], *, columns: Sequence[str]
) -> list[Any]:
    """Update rows as their `update` does; return these columns of them as they are now."""
    query: Any = rows.query.chain(UpdateQuery)  # its stubs do not know what it becomes
    query.add_update_values(values)
    sql, params = query.get_compiler(connection=connection).as_sql()
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} RETURNING {', '.join(columns)}", params)
        return list(cursor.fetchall())


def run(*statements: Statement) -> list[list[Row]]:
    """Run statements one after the other, in one message to Postgres; return the rows of each.

    A message takes longer than most statements that a delivery runs.
    """
    if not statements:
        return []
    with connection.cursor() as cursor:
        if not is_postgres():
            return [_fetch(cursor.execute(*statement)) for statement in statements]
        cursor.execute(
            "; ".join(statement.sql for statement in statements),
            [value for statement in statements for value in statement.params],
        )
        rows = [_fetch(cursor)]
        while cursor.nextset():
            rows.append(_fetch(cursor))
    return rows


def run_by_index(*statements: Statement) -> list[list[Row]]:
    """Run the first statements of a transaction, which then is as in `index_scans_only`."""
    if is_postgres():
        return run(INDEX_SCANS, *statements)[1:]
    return run(*statements)


def _fetch(cursor: Any) -> list[Row]:
    return list(cursor.fetchall()) if cursor.description else []


@contextmanager
def index_scans_only() -> Iterator[None]:
    """Open a transaction in which Postgres finds rows by index only.

    While a table is small or its statistics are old, Postgres would read or sort all of it for
    each batch: many times the work at 100,000 messages. On SQLite it is a plain transaction.
    """
    with transaction.atomic():
        run_by_index()
        yield
