"""Reads rows of CSV files as spreadsheets, databases and people write them.

Whatever the bytes are, every row is returned with the number of the line it starts on, either as
cells or with the reason why it cannot be read. No more than one row is held in memory.
"""

import csv
import io
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, TextIO

SEPARATORS = ",;\t"
BYTE_ORDER_MARK = "\ufeff"
# In characters. What is longer is damage, most often a quote that is never closed, and reading
# on would swallow the good rows after it.
ROW_LIMIT = 2_000

_TOO_LONG = f"The row is longer than {ROW_LIMIT} characters. Is a closing quote missing?"
_MISQUOTED = "A quote is missing or there is one too many."
_NOT_TEXT = 'This is not UTF-8 text. Save the file as CSV in UTF-8 (in Excel: "CSV UTF-8").'


class Row(NamedTuple):
    """One row: its cells without surrounding spaces, or the problem why it cannot be read."""

    line: int
    cells: list[str]
    problem: str = ""


class Place(NamedTuple):
    """A place between two rows of a file, from where on it can be read another time."""

    offset: int = 0  # bytes
    line: int = 0  # lines before it
    separator: str = ""  # that of the file; nothing at its beginning


class CsvRows(Iterator[Row]):
    """The rows of a file, the header first, or those behind a place. Empty rows are left out.

    The separator is the one of comma, semicolon and tab that is most frequent in the first line.
    """

    def __init__(self, file: BinaryIO, start: Place | None = None) -> None:
        start = start or Place()
        if start.offset:
            file.seek(start.offset)
        self._bytes = ByteCounter(file)
        # Undecodable bytes are read as surrogates, so that only their own row is refused. With
        # newline="" lines may end with \n, \r\n or \r.
        text = io.TextIOWrapper(
            io.BufferedReader(self._bytes),  # type: ignore[type-var]  # a RawIOBase is one
            encoding="utf-8",
            errors="surrogateescape",
            newline="",
        )
        self._lines = _Lines(text, start)
        header = self._lines.peek()
        self._separator = start.separator or max(SEPARATORS, key=header.count)
        self._reader = csv.reader(
            self._lines, delimiter=self._separator, strict=True, skipinitialspace=True
        )

    @property
    def place(self) -> Place:
        """The place behind the last row that was returned."""
        return Place(self._lines.offset, self._lines.number, self._separator)

    @property
    def bytes_read(self) -> int:
        """The number of bytes read from the file so far."""
        return self._bytes.count

    def __next__(self) -> Row:
        while True:
            line = self._lines.start_row()
            try:
                cells = [cell.strip() for cell in next(self._reader)]
            except (_UnreadableError, csv.Error) as error:
                # Only the first line is refused: a good row may begin on the next.
                self._lines.rewind_row()
                return Row(line, [], _MISQUOTED if isinstance(error, csv.Error) else str(error))
            if any(cells):
                return Row(line, cells)


class _UnreadableError(Exception):
    """A line cannot be part of any row; the text says why."""


class _Lines(Iterator[str]):
    """The lines of a text, counted. The lines of the row that is being read can be put back."""

    def __init__(self, text: TextIO, start: Place) -> None:
        self._text = text
        self._ahead: deque[_Line] = deque()
        self._row: list[_Line] = []
        self._row_size = 0  # characters
        self.number = start.line
        self.offset = start.offset

    def peek(self) -> str:
        """Return the first line that is not blank; iteration begins with it, too."""
        line = self._read()
        if self.offset == 0:
            line = line._replace(text=line.text.removeprefix(BYTE_ORDER_MARK))
        while line.text and not line.text.strip():
            self.number += 1
            self.offset += line.size
            line = self._read()
        self._ahead.append(line)
        return line.text

    def start_row(self) -> int:
        """Begin a row and return the number of its first line."""
        self._row.clear()
        self._row_size = 0
        return self.number + 1

    def rewind_row(self) -> None:
        """Put back all lines of the row but its first."""
        put_back = self._row[1:]
        self._ahead.extendleft(reversed(put_back))
        self.number -= len(put_back)
        self.offset -= sum(line.size for line in put_back)

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else self._read()
        if not line.text:
            raise StopIteration
        self.number += 1
        self.offset += line.size
        self._row.append(line)
        self._row_size += len(line.text)
        if self._row_size > ROW_LIMIT:
            raise _UnreadableError(_TOO_LONG)
        if not _is_text(line.text):
            raise _UnreadableError(_NOT_TEXT)
        return line.text

    def _read(self) -> "_Line":
        """Return the next line, cut to ROW_LIMIT + 1 characters, or "" at the end."""
        text = self._text.readline(ROW_LIMIT + 1)
        size = _size(text)
        rest = text if len(text) > ROW_LIMIT else ""
        while rest and rest[-1] not in "\r\n":
            rest = self._text.readline(ROW_LIMIT)
            size += _size(rest)
        return _Line(text, size)


class _Line(NamedTuple):
    text: str
    size: int  # bytes in the file, also of what was cut off


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogateescape"))


def _is_text(line: str) -> bool:
    if "\0" in line:  # UTF-16, or no text at all
        return False
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


class ByteCounter(io.RawIOBase):
    """A file that counts the bytes read from it, also where it has no position (a pipe)."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.count = 0

    def readable(self) -> bool:
        """Return True: it is a file for reading."""
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # any buffer
        """Fill the buffer from the file; return the number of bytes."""
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)
