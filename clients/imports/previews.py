"""Shows the first rows of a file before it is imported, and guesses what its columns are."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from clients import phone_numbers
from clients.imports import sheets
from clients.imports.csv_rows import CsvRows, Row
from clients.imports.importing import OURS, OnRejected, good_rows
from clients.imports.values import KEY, NAMES
from clients.models import Client

SHOWN = 50  # rows
# What a column may be called, in small letters and without "_" and "-", and what it is then.
TITLES = {
    "phone_number": "phonenumber phone number mobile msisdn tel телефон номер номертелефона",
    "operator_code": ("operatorcode operator code def код оператор кодоператора"),
    "tag": "tag tags label group segment тег метка группа сегмент",
    "timezone": "timezone zone tz часовойпояс зона",
    "external_id": "externalid внешнийид внешнийid",
}
_BY_TITLE = {title: name for name, titles in TITLES.items() for title in titles.split()}


@dataclass(frozen=True)
class Mapping:
    """What the columns of a file are: names of a client's fields, "" for what is left out."""

    columns: list[str]
    has_header: bool

    def as_json(self) -> dict[str, Any]:
        """Return it as it is stored."""
        return {"columns": self.columns, "has_header": self.has_header}

    def check(self) -> None:
        """Refuse what cannot be imported.

        Raises:
            ValidationError: a name is unknown or there twice, or no column is the phone number.
        """
        names = [name for name in self.columns if name]
        if not set(names) <= {*NAMES, *OURS}:
            raise ValidationError(_("Choose from the list what each column is."), "unknown_column")
        if KEY not in names:
            raise ValidationError(_("Say which column is the phone number."), "no_phone_number")
        if len(names) > len(set(names)):
            raise ValidationError(_("Two columns are the same; leave one out."), "repeated_column")


@dataclass(frozen=True)
class ShownRow:
    """A row as a spreadsheet shows it, and what is wrong with it."""

    line: int
    cells: list[str]
    problem: str = ""


@dataclass(frozen=True)
class Preview:
    """The first rows of a file, read by a mapping."""

    titles: list[str]
    mapping: Mapping
    rows: list[ShownRow]
    known: int
    is_whole: bool

    @property
    def bad(self) -> int:
        """The number of rows that would be rejected."""
        return sum(bool(row.problem) for row in self.rows)

    @property
    def good(self) -> int:
        """The number of rows that would be imported."""
        return len(self.rows) - self.bad


def first_rows(file: BinaryIO) -> list[Row]:
    """Return the first rows of a CSV or XLSX file, one more than are shown, and the header.

    Raises:
        ValidationError: it cannot be read, or is empty.
    """
    most = SHOWN + 2
    is_sheet = file.read(4) == sheets.SIGNATURE
    file.seek(0)
    rows = list(sheets.first_rows(file, most) if is_sheet else islice(CsvRows(file), most))
    if not rows:
        raise ValidationError(_("The file is empty."), "invalid_clients_file")
    if rows[0].problem:
        raise ValidationError(rows[0].problem, "invalid_clients_file")
    return rows


def guess(rows: Sequence[Row]) -> Mapping:
    """Return what the columns seem to be: by their titles, or by the numbers in them."""
    first, following = rows[0], rows[1:]
    has_header = not any(map(_is_number, first.cells))
    columns = [""] * len(first.cells)
    if has_header:
        for place, title in enumerate(first.cells):
            name = title if title in OURS else _BY_TITLE.get(_plain(title), "")
            columns[place] = name if name not in columns else ""
    if KEY not in columns and (place := _place_of_numbers(following if has_header else rows)) >= 0:
        columns[place] = KEY
    return Mapping(columns, has_header)


def chosen(rows: Sequence[Row], columns: Sequence[str], *, has_header: bool) -> Mapping:
    """Return what somebody has chosen that the columns are; what is not said is left out.

    The first columns of our own files of rejected rows stay what they are.
    """
    titles = rows[0].cells
    names = [*columns, *[""] * len(titles)][: len(titles)]
    return Mapping(
        [
            name or (title if has_header and title in OURS else "")
            for name, title in zip(names, titles, strict=True)
        ],
        has_header,
    )


def preview(rows: Sequence[Row], mapping: Mapping) -> Preview:
    """Return the first rows with what would become of each."""
    body = list(rows[1:] if mapping.has_header else rows)
    shown = body[:SHOWN]
    problems: dict[int, str] = {}
    note: OnRejected = lambda row, why: problems.setdefault(row.line, why)  # noqa: E731
    good = good_rows(shown, mapping.columns, note) if KEY in mapping.columns else []
    known = Client.objects.filter(phone_number__in={values[0] for values in good}).count()
    first = rows[0].cells
    titles = [
        title if mapping.has_header and title else _("Column %(number)d") % {"number": number}
        for number, title in enumerate(first, start=1)
    ]
    return Preview(
        titles,
        mapping,
        [ShownRow(row.line, row.cells, problems.get(row.line, "")) for row in shown],
        known,
        len(body) <= SHOWN,
    )


def _place_of_numbers(rows: Sequence[Row]) -> int:
    """Return in which column most cells are phone numbers; -1 if none has any."""
    width = max((len(row.cells) for row in rows), default=0)
    numbers = [
        sum(place < len(row.cells) and _is_number(row.cells[place]) for row in rows)
        for place in range(width)
    ]
    return numbers.index(max(numbers)) if any(numbers) else -1


def _is_number(cell: str) -> bool:
    try:
        phone_numbers.normalise(cell)
    except ValidationError:
        return False
    return True


def _plain(title: str) -> str:
    return title.casefold().replace("_", "").replace("-", "").replace(" ", "")
