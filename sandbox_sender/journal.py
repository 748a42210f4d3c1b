"""The journal of the sandbox: accepted messages, written to disk before they are answered.

One line for each event, with four fields separated by tabs:

    accepted    id    phone    unix time      the message is delivered
    repeated    id    phone    unix time      a repeat of a known id came and was dropped

An id that is accepted twice was delivered twice (only with --no-deduplicate). A last line without
a newline was being written when the machine went down, and its message was not answered.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sandbox_sender.contract import Message

ACCEPTED = "accepted"
REPEATED = "repeated"
# Bytes: a kind, two int64, a time, three tabs and a newline, with room to spare.
LONGEST_LINE = 128


class JournalError(ValueError):
    """The file is not a journal; the text says where it goes wrong."""


@dataclass(slots=True)
class JournalRecord:
    """What a journal says: how often each id was accepted, and dropped as a repeat."""

    accepted: Counter[int] = field(default_factory=Counter)
    repeated: Counter[int] = field(default_factory=Counter)
    first_accepted_at: float | None = None
    last_accepted_at: float | None = None

    def add(self, kind: str, message_id: int, at: float) -> None:
        """Count one event."""
        if kind == REPEATED:
            self.repeated[message_id] += 1
            return
        self.accepted[message_id] += 1
        self.last_accepted_at = at
        if self.first_accepted_at is None:
            self.first_accepted_at = at


def read_journal(path: str | Path) -> JournalRecord:
    """Read a journal, also one that is being written; a torn last line is left out.

    Raises FileNotFoundError, or JournalError when the file is something else.
    """
    record = JournalRecord()
    for number, line in enumerate(read_whole_lines(path), start=1):
        try:
            kind, message_id, _, at = line.split("\t")
            if kind not in (ACCEPTED, REPEATED):
                raise ValueError
            record.add(kind, int(message_id), float(at))
        except ValueError as error:
            raise JournalError(f"{path}: line {number} is not a journal line: {line!r}.") from error
    return record


def read_whole_lines(path: str | Path) -> Iterator[str]:
    """Yield the lines that end with a newline, without it."""
    with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
        for line in file:
            if line.endswith("\n"):
                yield line[:-1]


class Journal:
    """A journal open for writing. Lines are kept in memory until flush() writes them."""

    def __init__(self, path: Path, is_synced: bool = False) -> None:
        """Open or create the file, or raise JournalError. Its content is in `record`.

        With `is_synced` every flush also waits for the disk (fsync).
        """
        self.is_synced = is_synced
        self.lines: list[str] = []
        try:
            self.record = read_journal(path) if path.exists() else JournalRecord()
            if path.exists():
                cut_torn_line(path)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self.file = os.open(path, flags, 0o644)
        except OSError as error:
            raise JournalError(f"The journal {path} cannot be used: {error.strerror}.") from error

    def add(self, kind: str, message: Message, at: float) -> None:
        """Add an event that the next flush writes; `at` is unix time."""
        self.lines.append(f"{kind}\t{message.id}\t{message.phone}\t{at:.6f}\n")

    def flush(self) -> None:
        """Write the added events. On return they survive the end of this process."""
        if not self.lines:
            return
        data = "".join(self.lines).encode()
        self.lines.clear()
        while data:
            data = data[os.write(self.file, data) :]
        if self.is_synced:
            os.fsync(self.file)

    def close(self) -> None:
        """Write the rest and close the file."""
        self.flush()
        os.close(self.file)


def cut_torn_line(path: str | Path) -> None:
    """Cut the file after its last newline, so that the next line is not appended to half a line.

    Raises JournalError, and changes nothing, when the rest is not the beginning of a journal line.
    """
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - LONGEST_LINE))
        torn = file.read().rpartition(b"\n")[2]
        if not torn:
            return
        if not is_half_a_line(torn):
            raise JournalError(f"{path}: the last line is not a journal line: {torn!r}.")
        file.truncate(end - len(torn))


def is_half_a_line(torn: bytes) -> bool:
    """Tell whether the bytes can be the beginning of a journal line."""
    starts = [f"{kind}\t".encode() for kind in (ACCEPTED, REPEATED)]
    return any(torn.startswith(start) or start.startswith(torn) for start in starts)
