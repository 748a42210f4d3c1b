"""The journal of the sandbox: what was accepted, on disk before anyone is told.

One line an event, four fields parted by tabs:

    accepted    id    phone    unix time      the message is delivered
    repeated    id    phone    unix time      a repeat of a known id came and was dropped

An id that is accepted twice was delivered twice (that takes --no-deduplicate). A line without
its newline at the end of the file was being written when the machine went down: nobody was told.
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
    """A journal open for writing. Lines gather in memory until flush() puts them on disk."""

    def __init__(self, path: Path, is_synced: bool = False) -> None:
        """Open or create the file, or raise JournalError; what it says already is in `record`.

        With is_synced every flush also waits for the disk.
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
        """Note an event for the next flush."""
        self.lines.append(f"{kind}\t{message.id}\t{message.phone}\t{at:.6f}\n")

    def flush(self) -> None:
        """Write what was noted; on return it survives the death of this process."""
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
    """Cut the file after its last newline, or the next line would be glued to half a line.

    Raises JournalError, and touches nothing, when what would be cut is not half a journal line.
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
    """Tell whether a journal line can begin so."""
    starts = [f"{kind}\t".encode() for kind in (ACCEPTED, REPEATED)]
    return any(torn.startswith(start) or start.startswith(torn) for start in starts)
