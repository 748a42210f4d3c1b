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
from typing import Any

from django.conf import settings
from django.core.files import locks

from messages_app.engine.records import Outcome

logger = logging.getLogger(__name__)

MOMENTS = ("began_at", "sent_at", "next_attempt_at")


@dataclass(slots=True)
class SpoolRecord:
    """What the file of a cut-off delivery says. `begun` are all messages handed to the sender."""

    token: int
    mailing_id: int
    sent: list[int] = field(default_factory=list)  # accepted at the first attempt
    sent_at: datetime | None = None
    unanswered: set[int] = field(default_factory=set)  # handed to the sender; no answer is known
    begun: set[int] = field(default_factory=set)
    _outcomes: dict[int, Outcome] = field(default_factory=dict)

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes of all other answered messages, one for each: that of its last attempt."""
        return list(self._outcomes.values())

    def add(self, event: dict[str, Any]) -> None:
        """Add what one line of the file says, given as parsed JSON."""
        for pk in event.get("begun", ()):
            # It was claimed again, so its earlier outcome is in the database already.
            self._outcomes.pop(pk, None)
            self.unanswered.add(pk)
            self.begun.add(pk)
        if "sent" in event:
            self.sent += event["sent"]
            self.sent_at = datetime.fromisoformat(event["at"])
        answered = [_outcome(each) for each in event.get("outcomes", ())]
        self._outcomes.update((each.id, each) for each in answered)
        self.unanswered.difference_update(event.get("sent", ()), (each.id for each in answered))


class Spool:
    """The file of one delivery, which keeps it locked until it ends."""

    def __init__(self, token: int, mailing_id: int) -> None:
        """Create the file and lock it.

        Raises:
            OSError: it cannot be written.
        """
        self.path = _folder() / f"{token}.spool"
        unlocked = self.path.with_suffix(".new")  # `orphans` must not find it before it is locked.
        self._file = unlocked.open("ab", buffering=0)
        locks.lock(self._file, locks.LOCK_EX)
        self._write({"token": token, "mailing": mailing_id})
        unlocked.rename(self.path)

    def begin(self, ids: Sequence[int]) -> None:
        """Write down the messages that are about to be handed to the sender."""
        self._file.write(b'{"begun": %b}\n' % str(ids).encode())

    def answer(self, sent: Sequence[int], outcomes: Sequence[Outcome], at: datetime) -> None:
        """Write down answers: messages accepted at their first attempt, and all other outcomes.

        `at` is when they were received.
        """
        if sent:
            self._file.write(f'{{"sent": {sent}, "at": "{at.isoformat()}"}}\n'.encode())
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
        self._file.write(json.dumps(event, default=datetime.isoformat).encode() + b"\n")


def orphans() -> Iterator[SpoolRecord]:
    """Yield the content of each spool file whose delivery has ended and left it behind.

    A file is deleted when the next one is asked for. A file that cannot be read is renamed to
    *.damaged; its messages are reclaimed when their lease expires.
    """
    for path in _folder().glob("*.spool"):
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
        path.unlink(missing_ok=True)


def _folder() -> Path:
    folder: Path = settings.SPOOL_DIR
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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
            spooled = SpoolRecord(event["token"], event["mailing"])
    return spooled


def _outcome(values: dict[str, Any]) -> Outcome:
    """Return an outcome from its JSON; names that Outcome does not have are ignored."""
    values = {each.name: values[each.name] for each in fields(Outcome) if each.name in values}
    for name in MOMENTS:
        if values.get(name):
            values[name] = datetime.fromisoformat(values[name])
    return Outcome(**values)
