"""What a delivery has done, in a file of this machine, for when it cannot tell the database.

A line is written before messages are handed to the sender and another when answers come. A
process that is killed leaves its file behind, and so does one whose database went away: whoever
delivers next on this machine reads there which messages were handed over and what came of them.
The file goes when everything in it is in the database (docs/adr/0008-spool-and-leases.md).
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
    """What the file of a delivery that is no more says."""

    token: int
    mailing_id: int
    sent: list[int] = field(default_factory=list)  # accepted at the first attempt
    sent_at: datetime | None = None
    unanswered: set[int] = field(default_factory=set)  # handed over, and nothing else is known
    begun: set[int] = field(default_factory=set)
    _outcomes: dict[int, Outcome] = field(default_factory=dict)

    @property
    def outcomes(self) -> list[Outcome]:
        """What came of everything else, each message's last attempt."""
        return list(self._outcomes.values())

    def add(self, event: dict[str, Any]) -> None:
        """Take in one line."""
        for pk in event.get("begun", ()):
            # It was claimed again, so the database has what came of it before.
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
    """The file of one delivery, which it alone holds until its end."""

    def __init__(self, token: int, mailing_id: int) -> None:
        """Make the file.

        Raises:
            OSError: it cannot be written.
        """
        self.path = _folder() / f"{token}.spool"
        unborn = self.path.with_suffix(".new")  # Nobody may find it before it is locked.
        self._file = unborn.open("ab", buffering=0)
        locks.lock(self._file, locks.LOCK_EX)
        self._write({"token": token, "mailing": mailing_id})
        unborn.rename(self.path)

    def begin(self, ids: Sequence[int]) -> None:
        """Note messages that are about to be handed to the sender."""
        self._file.write(b'{"begun": %b}\n' % str(ids).encode())

    def answer(self, sent: Sequence[int], outcomes: Sequence[Outcome], at: datetime) -> None:
        """Note what came back: the messages taken at the first attempt, and everything else."""
        if sent:
            self._file.write(f'{{"sent": {sent}, "at": "{at.isoformat()}"}}\n'.encode())
        if outcomes:
            self._write({"outcomes": [asdict(outcome) for outcome in outcomes]})

    def keep(self) -> None:
        """Put it on the disk, for somebody else to replay."""
        os.fsync(self._file.fileno())
        self._file.close()

    def remove(self) -> None:
        """Take it away: everything in it is in the database."""
        # Before it is unlocked, lest a neighbour replay it; Windows wants it closed first.
        with suppress(PermissionError):
            self.path.unlink()
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _write(self, event: dict[str, Any]) -> None:
        self._file.write(json.dumps(event, default=datetime.isoformat).encode() + b"\n")


def orphans() -> Iterator[SpoolRecord]:
    """Yield the stories of the deliveries that have ended without settling them.

    A story's file goes when the next one is asked for. One that cannot be read is put aside, and
    what it was about is left to the end of its lease.
    """
    for path in _folder().glob("*.spool"):
        with suppress(FileNotFoundError), path.open("r+b") as file:
            is_ours = locks.lock(file, locks.LOCK_EX | locks.LOCK_NB)
            if not is_ours or not path.exists():  # Its delivery lives, or has just ended well.
                continue
            try:
                story = _read(file)
            except (ValueError, KeyError, TypeError, AttributeError):
                logger.exception("%s is damaged; it is put aside.", path)
                path.rename(path.with_suffix(".damaged"))
                continue
            if story:
                yield story
        path.unlink(missing_ok=True)


def _folder() -> Path:
    folder: Path = settings.SPOOL_DIR
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _read(lines: Iterator[bytes]) -> SpoolRecord | None:
    """Return what was written before the end, of which the last line may be torn."""
    story = None
    for line in lines:
        if not line.endswith(b"\n"):
            break
        event = json.loads(line)
        if story:
            story.add(event)
        else:
            story = SpoolRecord(event["token"], event["mailing"])
    return story


def _outcome(values: dict[str, Any]) -> Outcome:
    """Return an outcome as it was before it was written."""
    values = {each.name: values[each.name] for each in fields(Outcome) if each.name in values}
    for name in MOMENTS:
        if values.get(name):
            values[name] = datetime.fromisoformat(values[name])
    return Outcome(**values)
