"""Makes CSV of the first sheet of an XLSX file, within bounds: such files are zip archives.

A small archive can unpack to any size, so what it says of its own sizes is added up before anything
is read (zipfile never unpacks more than that), and rows, columns and cells are counted.
"""

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO
from xml.etree.ElementTree import ParseError  # nosec B405  # the error, and no parser
from zipfile import BadZipFile, ZipFile

import openpyxl
from django.core.exceptions import ValidationError
from openpyxl.utils.exceptions import InvalidFileException

from clients.imports.csv_rows import Row

SIGNATURE = b"PK\x03\x04"
OLD_SIGNATURE = b"\xd0\xcf\x11\xe0"  # of .xls, and of an .xlsx with a password
MAX_UNPACKED = 200 * 1024 * 1024  # bytes
MAX_PARTS = 1_000
MAX_ROWS = 200_000  # without the header
MAX_COLUMNS = 50

# What openpyxl raises for what is no spreadsheet, or a damaged one.
UNREADABLE = (
    BadZipFile, InvalidFileException, ParseError,
    KeyError, ValueError, TypeError, IndexError, AttributeError, EOFError, NotImplementedError,
)  # fmt: skip


def write_as_csv(sheet: BinaryIO, csv_file: BinaryIO) -> None:
    """Write the rows of the first sheet as CSV in UTF-8, each on the line of its number.

    Raises:
        ValidationError: it cannot be read, or is too large.
    """
    _refuse_too_large(sheet)
    text = io.TextIOWrapper(csv_file, encoding="utf-8", errors="replace", newline="")
    writer = csv.writer(text)
    width = 0  # that of the first row that is not empty, which names the columns
    try:
        for number, row in enumerate(_rows(sheet)):
            if number > MAX_ROWS:
                raise _too_large(f"it has more than {MAX_ROWS:,} rows")
            cells = _cells(row)
            width = width or len(cells)
            writer.writerow([*cells, *[""] * (width - len(cells))])
    except UNREADABLE as error:
        raise _unreadable() from error
    text.flush()
    text.detach()


def first_rows(sheet: BinaryIO, most: int) -> list[Row]:
    """Return the first rows of the first sheet, without the empty ones, up to so many.

    Raises:
        ValidationError: it cannot be read, or is too large.
    """
    _refuse_too_large(sheet)
    found: list[Row] = []
    width = 0  # that of the first row that is not empty
    try:
        for number, row in enumerate(_rows(sheet), start=1):
            if cells := [cell.strip() for cell in _cells(row)]:
                width = width or len(cells)
                found.append(Row(number, [*cells, *[""] * (width - len(cells))]))
            if len(found) == most:
                break
    except UNREADABLE as error:
        raise _unreadable() from error
    return found


def _rows(sheet: BinaryIO) -> Iterator[tuple[Any, ...]]:
    book = openpyxl.load_workbook(sheet, read_only=True, data_only=True, keep_links=False)
    try:
        (first, *_) = book.worksheets or [None]
        if first is None:
            raise _unreadable()
        first.reset_dimensions()  # What a file says of its own size may be wrong.
        # One row more than there may be tells that there are too many.
        yield from first.iter_rows(max_row=MAX_ROWS + 2, values_only=True)
    finally:
        book.close()


def _cells(row: tuple[Any, ...]) -> list[str]:
    """Return the texts of a row, without the empty ones at its end."""
    cells = [_text(cell) for cell in row[:MAX_COLUMNS]]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _text(cell: object) -> str:
    """Return a cell as people would write it into a CSV file, on one line."""
    match cell:
        case None:
            return ""
        case float() if cell.is_integer():
            return str(int(cell))  # A phone number that a spreadsheet took for an amount.
        case datetime():
            return cell.isoformat()
    return " ".join(str(cell).splitlines())


def _refuse_too_large(sheet: BinaryIO) -> None:
    try:
        with ZipFile(sheet) as archive:
            parts = archive.infolist()
    except UNREADABLE as error:
        raise _unreadable() from error
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED:
        raise _too_large(f"it unpacks to more than {MAX_UNPACKED // 1024**2} MB")
    sheet.seek(0)


def _too_large(reason: str) -> ValidationError:
    return ValidationError(
        f"The spreadsheet is too large: {reason}. Save it as CSV in UTF-8, which may have any "
        "number of rows.",
        code="sheet_too_large",
    )


def _unreadable() -> ValidationError:
    return ValidationError(
        "This spreadsheet cannot be read. Save it anew as XLSX, without a password, or as CSV in "
        "UTF-8.",
        code="invalid_clients_file",
    )
