"""Imports clients from a CSV file of any length."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from itertools import islice
from operator import itemgetter
from typing import BinaryIO

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from clients import phone_numbers
from clients.imports.csv_rows import CsvRows, Row
from clients.models import Client
from toolkit import time_zones
from toolkit.history.models import Deed
from toolkit.history.recording import LongDeed, many

KEY = "phone_number"
OPTIONAL = ("operator_code", "tag", "timezone")
NAMES = (KEY, *OPTIONAL)
FIELDS = {field.name: field for field in Client._meta.fields}
# Rows of one transaction: few enough that a changed client is locked for a fraction of a second.
BATCH_SIZE = 10_000

OnError = Callable[[int, str], None]
OnProgress = Callable[[int], None]
Values = tuple[str, ...]  # of NAMES, as they are stored
Pick = Callable[[Sequence[str]], tuple[str, ...]]


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
    validated = partial(_validated, width=len(columns), pick=_pick(columns))
    result, deed = ImportResult(), LongDeed(Deed.IMPORTED, many(Client))
    while batch := list(islice(rows, BATCH_SIZE)):
        good = _good(batch, validated, on_error)
        result.bad += len(batch) - len(good)
        with transaction.atomic():
            _save(good, columns, result)
            deed.note(asdict(result))
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


def _pick(columns: Sequence[str]) -> Pick:
    """Return a function that takes the cells of NAMES out of a row that ends with an empty cell.

    A column that the file does not have is that empty cell.
    """
    return itemgetter(*(columns.index(name) if name in columns else -1 for name in NAMES))


def _good(
    batch: Iterable[Row], validated: Callable[[Row], Values], on_error: OnError
) -> list[Values]:
    """Return the values of the rows that can be saved; call `on_error` for the others."""
    good = []
    for row in batch:
        try:
            good.append(validated(row))
        except ValidationError as error:
            on_error(row.line, " ".join(error.messages))
    return good


def _validated(row: Row, *, width: int, pick: Pick) -> Values:
    """Return the values of a client's fields, validated by the rules of the model.

    Args:
        row: the cells, or why there are none.
        width: the number of the file's columns.
        pick: takes the cells of NAMES out of a row.

    Raises:
        ValidationError: with everything that is wrong with the row.
    """
    if row.problem:
        raise ValidationError(row.problem)
    if len(row.cells) != width:
        raise ValidationError(f"The row has {len(row.cells)} cells, the header {width}.")
    raw_number, *raw = pick([*row.cells, ""])
    (given_code, tag, zone), problems = zip(*map(_checked, OPTIONAL, raw), strict=True)
    try:
        number, code = phone_numbers.normalise_with_code(raw_number)
    except ValidationError as error:
        problems = (_problem(KEY, raw_number, error), *problems)
    if any(problems):
        raise ValidationError([problem for problem in problems if problem])
    return number, given_code or code, tag, zone


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
        number = values[0]
        if earlier := last.get(number):
            result.updated += earlier != values
            result.unchanged += earlier == values
        last[number] = values
    # Sorted, so that two imports at once lock rows in the same order and cannot deadlock.
    rows = [last[number] for number in sorted(last)]
    created, updated = _upsert(rows, [column for column in columns if column != KEY])
    result.created += created
    result.updated += updated
    result.unchanged += len(rows) - created - updated


def _upsert(rows: Sequence[Values], columns: Sequence[str]) -> tuple[int, int]:
    """Insert clients; update these columns of clients that exist and differ.

    One statement takes half the time of bulk_create, and its result tells inserted from updated.
    COPY into a temporary table would save a tenth of the time that Postgres computes here, which
    goes into the indexes, and would need a way of its own beside SQLite's.

    Returns:
        How many were inserted, and how many updated.
    """
    # The SQL contains only names from this module; everything from the file is a parameter.
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
            f"INSERT INTO {table} ({', '.join(NAMES)}, created_at, updated_at)"
            f" SELECT {', '.join(f'value ->> {i}' for i in range(len(NAMES)))}, %s, %s"
            f" FROM {json_rows} WHERE true"
            f" ON CONFLICT ({KEY}) DO {on_conflict} RETURNING created_at = updated_at",
            [now, now, json.dumps(rows)],
        )
        written = [is_new for (is_new,) in cursor.fetchall()]
    return sum(written), len(written) - sum(written)
