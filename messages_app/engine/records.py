"""What the engine's parts hand to each other about a message. Imports no Django."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class Claimed(NamedTuple):
    """A message leased to one delivery: what the sender needs to know of it.

    `attempt` is the number of the attempt that it was claimed for.
    """

    id: int
    phone_number: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to, as it is written to the message and to its log of attempts.

    `next_attempt_at` None means that there will be no other attempt. `is_unclear` says that the
    message may have arrived all the same; `awaits_answer`, that nobody has heard the answer, and
    that it counts should it still come.
    """

    id: int
    status: str
    began_at: datetime | None = None
    seconds: float | None = None
    sent_at: datetime | None = None
    next_attempt_at: datetime | None = None
    error_code: str = ""
    error: str = ""
    http_status: int | None = None
    is_unclear: bool = False
    awaits_answer: bool = False
