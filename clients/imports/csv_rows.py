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


class CsvRows(Iterator[Row]):
    """The rows of a file, the header first. Empty rows are left out.

    The separator is the one of comma, semicolon and tab that is most frequent in the first line.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._bytes = ByteCounter(file)
        # Undecodable bytes are read as surrogates, so that only their own row is refused. With
        # newline="" lines may end with \n, \r\n or \r.
        self._lines = _Lines(
            io.TextIOWrapper(
                io.BufferedReader(self._bytes),  # type: ignore[type-var]  # a RawIOBase is one
                encoding="utf-8-sig",
                errors="surrogateescape",
                newline="",
            )
        )
        header = self._lines.peek()
        separator = max(SEPARATORS, key=header.count)
        self._reader = csv.reader(
            self._lines, delimiter=separator, strict=True, skipinitialspace=True
        )

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

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._ahead: deque[str] = deque()
        self._row: list[str] = []
        self._row_size = 0  # characters
        self._number = 0

    def peek(self) -> str:
        """Return the first line that is not blank; iteration begins with it, too."""
        line = self._read()
        while line and not line.strip():
            self._number += 1
            line = self._read()
        self._ahead.append(line)
        return line

    def start_row(self) -> int:
        """Begin a row and return the number of its first line."""
        self._row.clear()
        self._row_size = 0
        return self._number + 1

    def rewind_row(self) -> None:
        """Put back all lines of the row but its first."""
        put_back = self._row[1:]
        self._ahead.extendleft(reversed(put_back))
        self._number -= len(put_back)

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else self._read()
        if not line:
            raise StopIteration
        self._number += 1
        self._row.append(line)
        self._row_size += len(line)
        if self._row_size > ROW_LIMIT:
            raise _UnreadableError(_TOO_LONG)
        if not _is_text(line):
            raise _UnreadableError(_NOT_TEXT)
        return line

    def _read(self) -> str:
        """Return the next line, cut to ROW_LIMIT + 1 characters, or "" at the end."""
        line = self._text.readline(ROW_LIMIT + 1)
        rest = line if len(line) > ROW_LIMIT else ""
        while rest and rest[-1] not in "\r\n":
            rest = self._text.readline(ROW_LIMIT)
        return line


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
