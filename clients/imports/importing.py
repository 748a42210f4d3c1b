"""Imports clients from a CSV file of any length."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import BinaryIO

from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from clients import phone_numbers
from clients.imports.csv_rows import CsvRows, Row
from clients.models import Client
from toolkit import time_zones

KEY = "phone_number"
OPTIONAL = ("operator_code", "tag", "timezone")
FIELDS = {field.name: field for field in Client._meta.fields}
BATCH_SIZE = 2_000  # rows

OnError = Callable[[int, str], None]
OnProgress = Callable[[int], None]
Values = dict[str, str]


@dataclass
class ImportResult:
    """The number of rows that were created, updated, unchanged or refused; each is counted once."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    bad: int = 0


def import_clients(
    file: BinaryIO, *, on_error: OnError, on_progress: OnProgress = lambda bytes_read: None
) -> ImportResult:
    """Add the clients of a CSV file, or change those whose phone number is already there.

    The file is the truth for the columns it has: an empty cell means the model's default (the
    number's own operator code, no tag, UTC), for a client that exists as for a new one. A column
    that is left out changes nothing. Of rows with the same number the last one wins, as if each
    had been imported by itself.

    Rows are committed in batches as they are read, so whatever stops an import leaves whole
    batches, and it can be repeated.

    Args:
        file: CSV in UTF-8; the first line names the columns.
        on_error: called with the line number and the reason for every row that is refused.
        on_progress: called after every batch with the number of bytes read so far.

    Raises:
        ValidationError: this is not a file of clients; nothing was imported.
    """
    rows = CsvRows(file)
    columns = _columns(next(rows, None))
    result = ImportResult()
    while batch := list(islice(rows, BATCH_SIZE)):
        good = _good(batch, columns, on_error)
        result.bad += len(batch) - len(good)
        _save(good, columns, result)
        on_progress(rows.bytes_read)
    return result


def _columns(header: Row | None) -> list[str]:
    """Return the names of the columns in the order of the file.

    Raises:
        ValidationError: a column is unknown or there twice, or that of the phone number is missing.
    """
    if header is None:
        raise _not_clients("The file is empty.")
    if header.problem:
        raise _not_clients(header.problem)
    names = [cell.lower() for cell in header.cells]
    if unknown := [name[:40] for name in names if name not in (KEY, *OPTIONAL)]:
        raise _not_clients(f"There are unknown columns: {', '.join(map(repr, unknown))}.")
    if KEY not in names:
        raise _not_clients(f"There is no column {KEY}.")
    if len(names) > len(set(names)):
        raise _not_clients(f"A column is there twice: {', '.join(names)}.")
    return names


def _not_clients(problem: str) -> ValidationError:
    return ValidationError(
        f"{problem} The first line names the columns: {KEY} and any of {', '.join(OPTIONAL)}.",
        code="invalid_clients_file",
    )


def _good(batch: Sequence[Row], columns: Sequence[str], on_error: OnError) -> list[Values]:
    """Return the values of the rows that can be saved; call `on_error` for the others."""
    good = []
    for row in batch:
        try:
            good.append(_values(row, columns))
        except ValidationError as error:
            on_error(row.line, " ".join(error.messages))
    return good


def _values(row: Row, columns: Sequence[str]) -> Values:
    """Return the values of a client's fields, validated by the rules of the model.

    Raises:
        ValidationError: with everything that is wrong with the row.
    """
    if row.problem:
        raise ValidationError(row.problem)
    if len(row.cells) != len(columns):
        raise ValidationError(f"The row has {len(row.cells)} cells, the header {len(columns)}.")
    cells = dict(zip(columns, row.cells, strict=True))
    raw_number = cells.pop(KEY)
    checked = {column: _checked(column, cells.get(column, "")) for column in OPTIONAL}
    problems = [problem for _, problem in checked.values() if problem]
    try:
        number, code = phone_numbers.normalise_with_code(raw_number)
    except ValidationError as error:
        problems.insert(0, _problem(KEY, raw_number, error))
    if problems:
        raise ValidationError(problems)
    values = {column: value for column, (value, _) in checked.items()}
    return {**values, KEY: number, "operator_code": values["operator_code"] or code}


@lru_cache(maxsize=1_000)
def _checked(column: str, cell: str) -> tuple[str, str]:
    """Return the value of a cell as it is stored, and its problem or "".

    Cached, because many rows share few tags, codes and zones, and the model's validation takes
    longer than the rest of a row.
    """
    field = FIELDS[column]
    try:
        if column == "timezone" and cell:
            time_zones.validate(cell)
        value = field.clean(cell, None) if cell else field.get_default()
        return str(field.get_prep_value(value)), ""
    except ValidationError as error:
        return "", _problem(column, cell, error)


def _problem(column: str, cell: str, error: ValidationError) -> str:
    return f"{column} {cell[:40]!r}: {' '.join(error.messages)}"


def _save(batch: Sequence[Values], columns: Sequence[str], result: ImportResult) -> None:
    """Save new and changed clients, and add the numbers to `result`."""
    last: dict[str, Values] = {}
    for values in batch:
        # One statement cannot write a row twice, so only the last row of a number is saved.
        if earlier := last.get(values[KEY]):
            result.updated += earlier != values
            result.unchanged += earlier == values
        last[values[KEY]] = values
    # Sorted, so that two imports at once lock rows in the same order and cannot deadlock.
    rows = [last[number] for number in sorted(last)]
    created, updated = _upsert(rows, [column for column in columns if column != KEY])
    result.created += created
    result.updated += updated
    result.unchanged += len(rows) - created - updated


def _upsert(rows: Sequence[Values], columns: Sequence[str]) -> tuple[int, int]:
    """Insert clients; update these columns of clients that exist and differ.

    One statement takes half the time of bulk_create, and its result tells inserted from updated.

    Returns:
        How many were inserted, and how many updated.
    """
    # The SQL contains only names from this module; everything from the file is a parameter.
    names = (KEY, *OPTIONAL)
    table = connection.ops.quote_name(Client._meta.db_table)
    json_rows = "json_each(%s)"
    if connection.vendor == "postgresql":
        json_rows = "json_array_elements(%s::json) AS json_row (value)"
    on_conflict = "NOTHING"
    if columns:
        old = ", ".join(f"{table}.{column}" for column in columns)
        new = ", ".join(f"excluded.{column}" for column in columns)
        on_conflict = (
            f"UPDATE SET ({', '.join(columns)}, updated_at) = ({new}, excluded.updated_at)"
            f" WHERE ({old}) <> ({new})"
        )
    # "WHERE true" tells SQLite that the ON which follows does not belong to a join.
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(names)}, created_at, updated_at)"
            f" SELECT {', '.join(f'value ->> {i}' for i in range(len(names)))}, %s, %s"
            f" FROM {json_rows} WHERE true"
            f" ON CONFLICT ({KEY}) DO {on_conflict} RETURNING created_at = updated_at",
            [now, now, json.dumps([[row[name] for name in names] for row in rows])],
        )
        written = [is_new for (is_new,) in cursor.fetchall()]
    return sum(written), len(written) - sum(written)
