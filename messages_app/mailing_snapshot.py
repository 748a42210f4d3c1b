"""What the engine knows of a mailing. It is passed in: the engine never imports `mailings`."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from clients.audience import Filters
from messages_app.sender_ids import sender_id
from messages_app.sql import Condition
from toolkit.sending_hours import Window


@dataclass(frozen=True, slots=True)
class MailingSnapshot:
    """A mailing as it was at one moment.

    Nothing is sent from `stop_time` on. `window` are the hours of the day in which clients are sent
    to; None means any hour. `version` is another one after each edit. `text_of` reads the text of
    an earlier `text_version`. `is_unchanged` is an SQL condition for statements: the mailing is
    still running, within its time, and not edited since the snapshot.
    """

    id: int
    made_at: datetime
    text: str
    text_version: int
    text_of: Callable[[int], str]
    sender_key: int | None
    filters: Filters
    stop_time: datetime
    window: Window | None
    version: datetime
    is_unchanged: Condition

    def sender_id(self, message_id: int, phone_number: str) -> int:
        """Return the id by which the sender knows a message of this mailing."""
        return sender_id(self.sender_key, message_id=message_id, phone_number=phone_number)


Snapshots = Mapping[int, MailingSnapshot]  # by ids of mailings


class ReadMailings(Protocol):
    """What reads mailings for the engine."""

    def __call__(
        self, ids: Collection[int], now: datetime, *, known: Snapshots = MappingProxyType({})
    ) -> Snapshots:
        """Return those that are running, as they are now.

        Of those that were not edited since the snapshot in `known`, that is returned.
        """
