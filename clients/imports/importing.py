"""Imports clients from a CSV file of any length."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import BinaryIO

from django.core.exceptions import ValidationError
from django.db import transaction

from clients.imports.csv_rows import CsvRows, Row
from clients.imports.saving import save
from clients.imports.values import (
    KEY,
    NAMES,
    OPTIONAL,
    RefusedError,
    Values,
    checked,
    owners_of,
    with_own_id,
)
from clients.models import Client
from toolkit.cells import as_written
from toolkit.history.models import Deed
from toolkit.history.recording import LongDeed, many

# What our own files of rejected rows have besides: they can be corrected and come back as they are.
OURS = ("line", "error")
# Rows of one transaction: few enough that a changed client is locked for a fraction of a second.
BATCH_SIZE = 10_000

OnError = Callable[[int, str], None]
OnRejected = Callable[[Row, str], object]
OnProgress = Callable[[int], None]
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
    columns = columns_of(next(rows, None))
    result, deed = ImportResult(), LongDeed(Deed.IMPORTED, many(Client))
    while batch := list(islice(rows, BATCH_SIZE)):
        with transaction.atomic():
            import_batch(batch, columns, result, on_error=lambda row, why: on_error(row.line, why))
            deed.note(asdict(result))
        on_progress(rows.bytes_read)
    return result


def import_batch(
    batch: Sequence[Row],
    columns: Sequence[str],
    result: ImportResult,
    *,
    on_error: OnRejected,
    on_known: str = "update",
) -> None:
    """Save rows of a file, and add the numbers to `result`.

    Args:
        batch: the rows.
        columns: names of the file's columns, in its order; those that are no names are left out.
        result: what the numbers are added to.
        on_error: called with every row that is refused, and the reason.
        on_known: "skip" leaves clients alone whose number is known; "update" changes them.
    """
    good = good_rows(batch, columns, on_error)
    result.bad += len(batch) - len(good)
    changing = [name for name in columns if name in OPTIONAL] if on_known == "update" else []
    _save(good, changing, result)


def good_rows(batch: Sequence[Row], columns: Sequence[str], on_error: OnRejected) -> list[Values]:
    """Return the values of the rows that can be saved; call `on_error` for the others."""
    validated = partial(_validated, width=len(columns), pick=_pick(columns))
    found = dict(_good(batch, validated, on_error))
    owners = owners_of(found.values())
    rest = (row for row in batch if row.line in found)
    claimed = _good(rest, lambda row: with_own_id(found[row.line], owners), on_error)
    return [values for _, values in claimed]


def columns_of(header: Row | None) -> list[str]:
    """Return the names of the columns in the order of the file.

    Raises:
        ValidationError: a column is unknown or there twice, or that of the phone number is missing.
    """
    if header is None:
        raise _not_clients("The file is empty.")
    if header.problem:
        raise _not_clients(header.problem)
    names = [cell.lower() for cell in header.cells]
    if unknown := [name[:40] for name in names if name not in (*NAMES, *OURS)]:
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
    pick = itemgetter(*(columns.index(name) if name in columns else -1 for name in NAMES))
    if not set(columns).issuperset(OURS):
        return pick
    return lambda cells: tuple(map(as_written, pick(cells)))


def _good(
    batch: Iterable[Row], checked: Callable[[Row], Values], on_error: OnRejected
) -> Iterator[tuple[int, Values]]:
    """Yield (line, values) of the rows that can be saved; call `on_error` for the others."""
    for row in batch:
        try:
            yield row.line, checked(row)
        except ValidationError as error:
            on_error(row, error.messages[0])
        except RefusedError as error:
            on_error(row, str(error))


def _validated(row: Row, *, width: int, pick: Pick) -> Values:
    """Return the values of a client's fields, validated by the rules of the model.

    Args:
        row: the cells, or why there are none.
        width: the number of the file's columns.
        pick: takes the cells of NAMES out of a row.

    Raises:
        ValidationError: it is no row of this file.
        RefusedError: with everything that is wrong with the row.
    """
    if row.problem:
        raise ValidationError(row.problem)
    if len(row.cells) != width:
        raise ValidationError(f"The row has {len(row.cells)} cells, the header {width}.")
    return checked(pick([*row.cells, ""]))


def _save(batch: Sequence[Values], columns: Sequence[str], result: ImportResult) -> None:
    """Save new and changed clients, and add the numbers to `result`."""
    last: dict[str, Values] = {}
    for values in batch:
        # One statement cannot write a row twice, so only the last row of a number is saved.
        number = str(values[0])
        if earlier := last.get(number):
            result.updated += earlier != values
            result.unchanged += earlier == values
        last[number] = values
    saved = save(list(last.values()), dict.fromkeys(columns))
    result.created += saved.created
    result.updated += saved.updated
    result.unchanged += saved.unchanged
