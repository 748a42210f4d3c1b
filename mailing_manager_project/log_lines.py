"""Log lines as this installation writes them."""

import logging

import redis.exceptions
from celery.beat import SchedulingError
from django.db import InterfaceError, OperationalError
from kombu.exceptions import OperationalError as BrokerError

# Postgres's classes of "no connection" and "being shut down or started"; None: never connected.
AWAY = (None, "08", "57")


class ServerAwayFormatter(logging.Formatter):
    """A line for each event. That a server is away is said without a traceback.

    Where the program was when it noticed helps nobody, and an outage brings hundreds of them.
    """

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}: {message}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and where it helps, the traceback after it."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None or not is_server_away(error):
            return super().format(record)
        bare = logging.makeLogRecord({**vars(record), "exc_info": None, "exc_text": None})
        reason = str(error).strip().partition("\n")[0]
        line = super().format(bare).partition("\n")[0]
        return line if reason in line else f"{line} ({reason})"


def is_server_away(error: BaseException) -> bool:
    """Tell whether an error says no more than that the database or the broker is not there."""
    if isinstance(error, OperationalError | InterfaceError):
        state = getattr(error.__cause__, "sqlstate", "")
        return (state and state[:2]) in AWAY
    return isinstance(error, BrokerError | SchedulingError | redis.exceptions.ConnectionError)
