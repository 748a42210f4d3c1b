"""Records that the engine's modules pass to each other. Imports no Django."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class Bell(NamedTuple):
    """A doorbell: the lane of a mailing that a delivery serves."""

    mailing_id: int
    lane: int


class Claimed(NamedTuple):
    """A message that is leased to one delivery.

    `attempt` is the number of the attempt that it was claimed for, counted from 1. `account` is
    the one that it stands on in the ledger meanwhile. `text_version` is the text it was claimed
    for.
    """

    id: int
    phone_number: str
    attempt: int
    account: str
    text_version: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one attempt, as it is written to the message and to its log of attempts.

    `id` is the message's. `next_attempt_at` is when it is retried; None means never. `is_unclear`
    says that the attempt failed and the message may have arrived all the same. `awaits_answer`
    says that the answer was not received, and is still written if it comes later. `attempt` is the
    number of the attempt: it is not written to a message that is at another one. None is any.
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
    attempt: int | None = None
