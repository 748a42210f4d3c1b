"""The spool: one file on this machine for each delivery, with what it has sent and received.

A line is written before messages are handed to the sender, and another when answers come. The file
is deleted when everything in it is in the database. A process that is killed, or that loses the
database, leaves its file behind; the next delivery on this machine reads it (`recovery.replay`) and
so learns which messages were sent and what the sender said (docs/adr/0008-spool-and-leases.md).
"""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from time import time
from typing import Any, NamedTuple

from django.conf import settings
from django.core.files import locks

from messages_app.engine.records import Claimed, Outcome

logger = logging.getLogger(__name__)

MOMENTS = ("began_at", "sent_at", "next_attempt_at")
MAX_REPLAYS = 3  # failed ones, after which a file is put aside
UNLOCKED = 60.0  # seconds after which a *.new file belongs to a process that was killed


class Handover(NamedTuple):
    """What was handed to the sender of one message. None and "": an earlier version did not say."""

    attempt: int | None
    phone_number: str


@dataclass(slots=True)
class SpoolRecord:
    """What the file of a cut-off delivery says. `begun` are all messages handed to the sender.

    `mailing_made_at` tells the mailing from one that has its id in a database that was restored
    from a backup; None means that an earlier version wrote the file. `failures` counts the replays
    that failed. Whoever replays it sets `error` if that failed.
    """

    token: int
    mailing_id: int
    mailing_made_at: datetime | None = None
    sent: list[int] = field(default_factory=list)  # accepted at the first attempt
    sent_at: datetime | None = None
    unanswered: set[int] = field(default_factory=set)  # handed to the sender; no answer is known
    begun: dict[int, Handover] = field(default_factory=dict)  # by id, of the last attempt
    failures: int = 0
    error: Exception | None = None
    _outcomes: dict[int, Outcome] = field(default_factory=dict)

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes of all other answered messages, one for each: that of its last attempt."""
        return list(self._outcomes.values())

    def add(self, event: dict[str, Any]) -> None:
        """Add what one line of the file says, given as parsed JSON."""
        self.failures += event.get("failed", 0)
        self._add_begun(event)
        if "sent" in event:
            self.sent += event["sent"]
            self.sent_at = datetime.fromisoformat(event["at"])
        answered = [_outcome(each) for each in event.get("outcomes", ())]
        self._outcomes.update((each.id, each) for each in answered)
        self.unanswered.difference_update(event.get("sent", ()), (each.id for each in answered))

    def _add_begun(self, event: dict[str, Any]) -> None:
        ids = event.get("begun", ())
        attempts = event.get("attempts") or [None] * len(ids)
        numbers = event.get("numbers") or [""] * len(ids)
        for pk, attempt, number in zip(ids, attempts, numbers, strict=True):
            # It was claimed again, so its earlier outcome is in the database already.
            self._outcomes.pop(pk, None)
            self.unanswered.add(pk)
            self.begun[pk] = Handover(attempt, number)


class Spool:
    """The file of one delivery, which keeps it locked until it ends."""

    def __init__(
        self, token: int, mailing_id: int, mailing_made_at: datetime | None = None
    ) -> None:
        """Create the file and lock it.

        Raises:
            OSError: it cannot be written.
        """
        self.path = _folder() / f"{token}.spool"
        unlocked = self.path.with_suffix(".new")  # `orphans` must not find it before it is locked.
        self._file = unlocked.open("ab", buffering=0)
        self._size = 0
        locks.lock(self._file, locks.LOCK_EX)
        self._write({"token": token, "mailing": mailing_id, "made": mailing_made_at})
        unlocked.rename(self.path)

    def begin(self, messages: Sequence[Claimed]) -> None:
        """Write down the messages that are about to be handed to the sender.

        Raises:
            OSError: they are not written down, so none of them may be handed over.
        """
        # Not by json.dumps, because it is done for every message; a number is digits.
        ids = [message.id for message in messages]
        attempts = [message.attempt for message in messages]
        numbers = '", "'.join([message.phone_number for message in messages])
        line = f'{{"begun": {ids}, "attempts": {attempts}, "numbers": ["{numbers}"]}}\n'
        self._append(line.encode())

    def answer(self, sent: Sequence[int], outcomes: Sequence[Outcome], at: datetime) -> None:
        """Write down answers: messages accepted at their first attempt, and all other outcomes.

        `at` is when they were received.

        Raises:
            OSError: they are not written down.
        """
        if sent:
            self._append(f'{{"sent": {sent}, "at": "{at.isoformat()}"}}\n'.encode())
        if outcomes:
            self._write({"outcomes": [asdict(outcome) for outcome in outcomes]})

    def keep(self) -> None:
        """Flush the file to disk and unlock it, so that the next delivery replays it."""
        os.fsync(self._file.fileno())
        self._file.close()

    def remove(self) -> None:
        """Delete the file, because everything in it is in the database."""
        # Deleted while it is locked, so that no other process replays it. Windows can delete it
        # only once it is closed.
        with suppress(PermissionError):
            self.path.unlink()
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _write(self, event: dict[str, Any]) -> None:
        self._append(json.dumps(event, default=datetime.isoformat).encode() + b"\n")

    def _append(self, line: bytes) -> None:
        """Append a line as a whole, or nothing of it: a full disk takes only a part of a write."""
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(self._size)  # The next line must not follow half of this one.
            raise
        self._size += len(line)


def orphans() -> Iterator[SpoolRecord]:
    """Yield the content of each spool file whose delivery has ended and left it behind.

    A file is deleted when the next one is asked for. One that cannot be read is renamed to
    *.damaged, and one whose replay failed (`SpoolRecord.error`) MAX_REPLAYS times to *.unsettled;
    its messages are reclaimed when their lease expires.
    """
    folder = _folder()
    _remove_unlocked(folder)
    for path in folder.glob("*.spool"):
        with suppress(FileNotFoundError), path.open("r+b") as file:
            is_ours = locks.lock(file, locks.LOCK_EX | locks.LOCK_NB)
            if not is_ours or not path.exists():  # Its delivery is running, or has just ended well.
                continue
            try:
                spooled = _read(file)
            except (ValueError, KeyError, TypeError, AttributeError):
                logger.exception("%s is damaged; it is put aside.", path)
                path.rename(path.with_suffix(".damaged"))
                continue
            if spooled:
                yield spooled
                if spooled.error:
                    _put_back(path, spooled)
                    continue
        path.unlink(missing_ok=True)


def _put_back(path: Path, spooled: SpoolRecord) -> None:
    """Leave a file whose replay failed to the next delivery; put it aside the last time."""
    if spooled.failures + 1 < MAX_REPLAYS:
        with path.open("ab") as file:
            file.write(b'{"failed": 1}\n')
        return
    logger.error("%s cannot be settled; it is put aside.", path, exc_info=spooled.error)
    path.rename(path.with_suffix(".unsettled"))


def _remove_unlocked(folder: Path) -> None:
    """Delete the files of processes that were killed before theirs was locked and named."""
    for path in folder.glob("*.new"):
        with suppress(FileNotFoundError):
            if time() - path.stat().st_mtime > UNLOCKED:
                path.unlink()


def _folder() -> Path:
    """Return the folder of the spool files, made if need be, which nobody else may read.

    Raises:
        OSError: it cannot be made, or belongs to somebody else.
    """
    folder: Path = settings.SPOOL_DIR
    for parent in reversed([each for each in folder.parents if not each.exists()]):
        parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def _read(lines: Iterator[bytes]) -> SpoolRecord | None:
    """Return what a file says, or None if it has no whole line. A torn last line is left out.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: the file is damaged.
    """
    spooled = None
    for line in lines:
        if not line.endswith(b"\n"):
            break
        event = json.loads(line)
        if spooled:
            spooled.add(event)
        else:
            made_at = event.get("made")
            made_at = datetime.fromisoformat(made_at) if made_at else None
            spooled = SpoolRecord(event["token"], event["mailing"], made_at)
    return spooled


def _outcome(values: dict[str, Any]) -> Outcome:
    """Return an outcome from its JSON; names that Outcome does not have are ignored."""
    values = {each.name: values[each.name] for each in fields(Outcome) if each.name in values}
    for name in MOMENTS:
        if values.get(name):
            values[name] = datetime.fromisoformat(values[name])
    return Outcome(**values)
