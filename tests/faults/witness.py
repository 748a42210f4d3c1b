"""The independent witness: the sender's journal against the database, in a few lines of SQL."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from sandbox_sender.journal import ACCEPTED, read_whole_lines


class Send(NamedTuple):
    """A line of the journal: a send that the sender took, or dropped as a repeat."""

    is_accepted: bool
    id: int
    phone: str
    at: float  # unix time


class Row(NamedTuple):
    """What the database says of a message; `id` is the one that the sender knows it by."""

    id: int
    phone: str
    status: str


def known_as(sender_key: int | None, message_id: int, phone: str) -> int:
    """Return the id by which the sender must know a message (docs/adr/0015-sender-ids.md)."""
    if sender_key is None:
        return message_id
    key = sender_key.to_bytes(8, "big")
    digest = blake2b(phone.encode(), digest_size=8, key=key).hexdigest()
    return int(digest, 16) // 2


@dataclass(frozen=True, slots=True)
class Findings:
    """How the two accounts differ; all but the last two must be zero."""

    unknown: int  # sent, and no message has this id
    misaddressed: int  # sent to a number that is not the message's
    unsent: int  # recorded as a success, and the sender does not know it
    twice: int  # delivered more than once
    renamed: int  # numbers that were sent to under more ids than they have messages
    lost: int  # neither sent nor given up for a reason
    dropped: int  # repeats of an id, which the sender dropped
    unrecorded: int  # delivered and recorded as failed: whoever was told died, and time ran out


def read_sends(journal: Path) -> list[Send]:
    """Return the journal's lines in order."""
    lines = (line.split("\t") for line in read_whole_lines(journal))
    return [Send(kind == ACCEPTED, int(pk), phone, float(at)) for kind, pk, phone, at in lines]


def compare(sends: Sequence[Send], rows: Sequence[Row]) -> Findings:
    """Compare the sender's account with the database's."""
    accepted = [send for send in sends if send.is_accepted]
    numbers = {row.id: row.phone for row in rows}
    deliveries = Counter(send.id for send in accepted)
    return Findings(
        unknown=sum(pk not in numbers for pk in deliveries),
        misaddressed=sum(numbers.get(send.id, send.phone) != send.phone for send in accepted),
        unsent=sum(row.status == "success" and row.id not in deliveries for row in rows),
        twice=sum(number > 1 for number in deliveries.values()),
        renamed=_renamed(accepted, rows),
        lost=sum(row.status == "pending" for row in rows),
        dropped=sum(not send.is_accepted for send in sends),
        unrecorded=sum(row.status == "fail" and row.id in deliveries for row in rows),
    )


def _renamed(accepted: Sequence[Send], rows: Sequence[Row]) -> int:
    """Return how many numbers were sent to under more ids than they have messages."""
    ids = defaultdict[str, set[int]](set)
    for send in accepted:
        ids[send.phone].add(send.id)
    messages = Counter(row.phone for row in rows)
    return sum(len(of_phone) > messages[phone] > 0 for phone, of_phone in ids.items())
