"""What the engine is told of a mailing: it never looks one up, mailings is the room above."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists

from clients.audience import Filters
from toolkit.sending_hours import Window


@dataclass(frozen=True, slots=True)
class MailingSnapshot:
    """A mailing as it was at one moment, and a condition that it still is.

    `stop_time` is the moment from which nothing is sent. `window` are the hours of the day that
    it keeps to, None any hour. `is_unchanged` is for statements: the mailing is running, inside
    its time and not edited since; a statement that carries it does nothing otherwise.
    """

    id: int
    text: str
    filters: Filters
    stop_time: datetime
    window: Window | None
    is_unchanged: Exists


# Returns a mailing as it is now, or None if nothing of it may be sent now.
ReadMailing = Callable[[datetime], MailingSnapshot | None]
