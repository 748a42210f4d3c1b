"""The format of log lines."""

import logging

import redis.exceptions
from celery.beat import SchedulingError
from django.db import InterfaceError, OperationalError
from kombu.exceptions import OperationalError as BrokerError

# Classes of SQLSTATE: 08 is "no connection", 57 "being shut down or started"; None: not connected.
AWAY = (None, "08", "57")


class ServerAwayFormatter(logging.Formatter):
    """Writes that the database or the broker is away on one line, without a traceback.

    An outage brings hundreds of these errors, and their tracebacks say nothing about its cause.
    """

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}: {message}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, with the traceback unless a server is away."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None or not is_server_away(error):
            return super().format(record)
        bare = logging.makeLogRecord({**vars(record), "exc_info": None, "exc_text": None})
        reason = str(error).strip().partition("\n")[0]
        line = super().format(bare).partition("\n")[0]
        return line if reason in line else f"{line} ({reason})"


def is_server_away(error: BaseException) -> bool:
    """Tell whether an error only means that the database or the broker does not answer."""
    if isinstance(error, OperationalError | InterfaceError):
        state = getattr(error.__cause__, "sqlstate", "")
        return (state and state[:2]) in AWAY
    return isinstance(error, BrokerError | SchedulingError | redis.exceptions.ConnectionError)
