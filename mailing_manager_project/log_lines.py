"""The format of log lines, and which of them an outage is worth."""

import logging
import re
from threading import Lock
from typing import Any

import redis.exceptions
from billiard.exceptions import WorkerLostError
from celery.beat import SchedulingError
from django.db import InterfaceError, InternalError, OperationalError
from django.db.backends.signals import connection_created
from kombu.exceptions import OperationalError as BrokerError

from toolkit import request_ids

# How the SQLSTATE begins where there is no connection (08), or none any more: the server shuts down
# or starts (57P), was left idle in a transaction for too long (25P03), has too many (53300).
AWAY = ("08", "57P", "25P03", "53300")

# What may be a phone number: 10 to 15 digits. Ids of ours have fewer, the sender's have more.
NUMBER = re.compile(r"(?<![\w.-])\+?\d{10,15}(?!\w|\.\d)")
MASK = "***"

logger = logging.getLogger(__name__)


class ServerAwayFormatter(logging.Formatter):
    """Writes that a server or a process of ours is gone on one line, without a traceback.

    An outage brings hundreds of these errors, and their tracebacks say nothing about its cause.
    What may be a phone number is masked: the database repeats it in its errors.
    """

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}{request}: {message}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, with the traceback unless a server is away.

        Of a web server's line it says during which request it was written: its X-Request-Id.
        """
        return NUMBER.sub(MASK, self._format(record))

    def _format(self, record: logging.LogRecord) -> str:
        request_id = request_ids.current()
        record.request = f" [{request_id}]" if request_id else ""
        error = record.exc_info[1] if record.exc_info else None
        error = getattr(error, "exc", error)  # Celery's pool wraps errors of its processes.
        if error is None or not is_server_away(error):
            return super().format(record)
        bare = logging.makeLogRecord({**vars(record), "exc_info": None, "exc_text": None})
        reason = str(error).strip().partition("\n")[0]
        line = super().format(bare).partition("\n")[0]
        return line if reason in line else f"{line} ({reason})"


class OutageFilter(logging.Filter):
    """Lets through one line of an outage of the database, and writes one when it is over.

    A program asks the database several times a second, and each time it fails is an event.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_away = False
        self._lock = Lock()
        connection_created.connect(self._end)

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to write a record: not one that says again that the database is away."""
        error = record.exc_info[1] if record.exc_info else getattr(record, "cause", None)
        if error and is_database_away(error):
            return self._begin()
        # A request that was answered 503 for a reason that has had its line.
        return not (self._is_away and getattr(record, "status_code", 0) >= 500)

    def _begin(self) -> bool:
        """Note that the database is away; tell whether that is new."""
        with self._lock:
            was_away, self._is_away = self._is_away, True
        return not was_away

    def _end(self, **kwargs: Any) -> None:
        """Note that the database has taken a connection."""
        with self._lock:
            was_away, self._is_away = self._is_away, False
        if was_away:
            logger.warning("The database answers again.")


def is_server_away(error: BaseException) -> bool:
    """Tell whether an error only means that a server or a process of ours is gone."""
    gone = BrokerError | SchedulingError | redis.exceptions.ConnectionError | WorkerLostError
    return is_database_away(error) or isinstance(error, gone)


def is_database_away(error: BaseException) -> bool:
    """Tell whether an error, or what caused it, only means that the database does not answer."""
    if not isinstance(error, OperationalError | InterfaceError | InternalError):
        return error.__cause__ is not None and is_database_away(error.__cause__)
    state = getattr(error.__cause__, "sqlstate", "")  # SQLite's errors have none.
    return state is None or state.startswith(AWAY)  # Who was never connected got None.
