"""The independent witness: the sender's journal against the database, in a few lines of SQL."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
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
    """What the database says of a message."""

    id: int
    phone: str
    status: str


@dataclass(frozen=True, slots=True)
class Findings:
    """How the two accounts differ; all but the last two must be zero."""

    unknown: int  # sent, and no message has this id
    misaddressed: int  # sent to a number that is not the message's
    unsent: int  # recorded as a success, and the sender does not know it
    twice: int  # delivered more than once
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
        lost=sum(row.status == "pending" for row in rows),
        dropped=sum(not send.is_accepted for send in sends),
        unrecorded=sum(row.status == "fail" and row.id in deliveries for row in rows),
    )
