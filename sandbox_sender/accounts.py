"""The accounts of the sandbox: every id it accepted, counts, and the latest messages."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import NamedTuple

from sandbox_sender.contract import Message
from sandbox_sender.journal import ACCEPTED, REPEATED, Journal, JournalRecord

RECENT_MESSAGES = 200  # that the inbox shows
EXCERPT_LENGTH = 160  # characters of a text in the inbox


class Delivery(NamedTuple):
    """A message as the inbox shows it; at is unix time."""

    at: float
    id: int
    phone: int
    text: str


class Accounts:
    """Counts of requests since the start. With a journal, accepted ids outlive the process."""

    def __init__(self, journal: Journal | None = None, *, is_deduplicating: bool = True) -> None:
        record = journal.record if journal is not None else JournalRecord()
        self.is_deduplicating = is_deduplicating
        self.journal = journal
        self.started_at = time.time()
        self.ids = set(record.accepted)
        self.accepted = record.accepted.total()
        self.repeated = record.repeated.total() + self.accepted - len(self.ids)
        self.first_accepted_at = record.first_accepted_at
        self.last_accepted_at = record.last_accepted_at
        self.rejected = 0
        self.in_flight = 0
        self.statuses: Counter[int] = Counter()
        self.faults: Counter[str] = Counter()
        self.recent: deque[Delivery] = deque(maxlen=RECENT_MESSAGES)

    def accept(self, message: Message, now: float) -> None:
        """Deliver the message, unless its id is known and repeats are dropped."""
        if message.id not in self.ids:
            self.ids.add(message.id)
        else:
            self.repeated += 1
            if self.is_deduplicating:
                self.note(REPEATED, message, now)
                return
        self.accepted += 1
        self.last_accepted_at = now
        if self.first_accepted_at is None:
            self.first_accepted_at = now
        self.recent.append(Delivery(now, message.id, message.phone, message.text[:EXCERPT_LENGTH]))
        self.note(ACCEPTED, message, now)

    def note(self, kind: str, message: Message, now: float) -> None:
        """Add an event to the journal, if there is one; `now` is unix time."""
        if self.journal is not None:
            self.journal.add(kind, message, now)

    def summarize(self) -> dict[str, object]:
        """Return the counts; GET /stats shows them.

        accepted counts deliveries, unique their different ids, repeated the sends of a known id,
        rejected the sends that were neither; statuses and faults count the answers to sends.
        Times are unix times, the uptime is in seconds.
        """
        return {
            "accepted": self.accepted,
            "unique": len(self.ids),
            "repeated": self.repeated,
            "rejected": self.rejected,
            "statuses": {str(status): self.statuses[status] for status in sorted(self.statuses)},
            "faults": dict(sorted(self.faults.items())),
            "in_flight": self.in_flight,
            "first_accepted_at": self.first_accepted_at,
            "last_accepted_at": self.last_accepted_at,
            "uptime_seconds": round(time.time() - self.started_at, 3),
        }
