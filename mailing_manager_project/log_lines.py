"""What the programs log: the form of a line, and which lines an outage is worth.

Everything is logged by Python's logging; structlog makes a line of it (docs/adr/0044-logs.md).
"""

import logging
import re
import sys
from threading import Lock
from typing import Any

import redis.exceptions
import structlog
from billiard.exceptions import WorkerLostError
from celery.beat import SchedulingError
from celery.signals import after_task_publish
from django.db import InterfaceError, InternalError, OperationalError
from django.db.backends.signals import connection_created
from kombu.exceptions import OperationalError as BrokerError
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.types import EventDict, Processor, WrappedLogger

LEVELS = ("info", "debug", "warning", "error")
# What a line may have besides; everything else that libraries leave on records stays away.
FIELDS = (
    *("mailing", "job", "answers", "accepted", "seconds"),
    *("request_id", "status", "ms", "address", "user", "token"),
)

# How the SQLSTATE begins where there is no connection (08), or none any more: the server shuts down
# or starts (57P), was left idle in a transaction for too long (25P03), has too many (53300).
AWAY = ("08", "57P", "25P03", "53300")

# What may be a phone number: 10 to 15 digits. Ids of ours have fewer, the sender's have more.
NUMBER = re.compile(r"(?<![\w.-])\+?\d{10,15}(?!\w|\.\d)")
MASK = "***"

# How Celery says, again and again, that the broker is away; and that it is back.
BROKER_AWAY = ("consumer: Cannot connect to", "beat: Connection error", "beat pidbox: Connection")
BROKER_BACK = "Connected to %s"

# What packages log by structlog goes the same way.
structlog.configure(
    processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
)

logger = logging.getLogger(__name__)


def configuration(form: str, level: str) -> dict[str, Any]:
    """Return what logging.config.dictConfig takes: lines of a form, from a level upwards."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {"()": ProcessorFormatter, "processors": _processors(form)},
        },
        "filters": {"outage": {"()": OutageFilter}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "filters": ["outage"],
            }
        },
        "root": {"handlers": ["stderr"], "level": level.upper()},
        "loggers": {
            # What a caller gets wrong (4xx) is answered to the caller, and no event of ours.
            "django.request": {"level": "ERROR"},
            "axes": {"level": "ERROR"},  # toolkit.access.logins says it in one line.
            "gunicorn.error": {"handlers": [], "propagate": True},
            # Each task that comes and ends, each tick, and each change of the schedule.
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.beat": {"level": "WARNING"},
            "django_celery_beat": {"level": "WARNING"},
            # It says again and again that nobody takes the traces; tracing.py says it once.
            "opentelemetry": {"level": "CRITICAL"},
        },
    }


def _processors(form: str) -> list[Processor]:
    """Return what makes a line of an event, one after the other."""
    return [
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_process,
        ExtraAdder(allow=FIELDS),
        structlog.contextvars.merge_contextvars,
        shorten_outages,
        structlog.processors.format_exc_info,
        ProcessorFormatter.remove_processors_meta,
        mask_numbers,
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if form == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        ),
    ]


def _add_process(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    event["pid"] = event["_record"].process
    return event


def shorten_outages(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Have one line, without a traceback, say that a server or a process of ours is gone.

    An outage brings hundreds of these errors, and their tracebacks say nothing about its cause.
    """
    error = event["exc_info"][1] if event.get("exc_info") else None
    error = getattr(error, "exc", error)  # Celery's pool wraps errors of its processes.
    if error is None or not is_server_away(error):
        return event
    del event["exc_info"]
    line = event["event"].partition("\n")[0]
    reason = str(error).strip().partition("\n")[0]
    event["event"] = line if reason in line else f"{line} ({reason})"
    return event


def mask_numbers(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Mask what may be a phone number, of which the database repeats some in its errors."""
    return {
        name: mask_number(value) if isinstance(value, str) else value
        for name, value in event.items()
    }


def mask_number(text: str) -> str:
    """Return a text without what may be a phone number."""
    return NUMBER.sub(MASK, text)


class OutageFilter(logging.Filter):
    """Lets through one line of an outage of the database or the broker, and one of its end.

    A program asks the database several times a second, and each time it fails is an event.
    """

    def __init__(self) -> None:
        super().__init__()
        self._database = Outage("The database answers again.")
        self._broker = Outage("The broker answers again.")
        connection_created.connect(self._database.end)
        after_task_publish.connect(self._broker.end)

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to write a record: not one that says again that a server is away."""
        error = record.exc_info[1] if record.exc_info else getattr(record, "cause", None)
        if error and is_database_away(error):
            return self._database.begin()
        if (error and is_broker_away(error)) or str(record.msg).startswith(BROKER_AWAY):
            return self._broker.begin()
        if record.msg == BROKER_BACK:
            self._broker.end()
        # A request that was answered 503 for a reason that has had its line.
        is_failure = getattr(record, "status_code", 0) >= 500
        return not (self._database.is_on and is_failure)


class Outage:
    """Whether a server is away, as far as this process has noticed."""

    def __init__(self, over: str) -> None:
        self.is_on = False
        self._over = over
        self._lock = Lock()

    def begin(self) -> bool:
        """Note that it is away; tell whether that is new."""
        with self._lock:
            was_on, self.is_on = self.is_on, True
        return not was_on

    def end(self, **_: Any) -> None:
        """Note that it has answered; say so if it was away."""
        with self._lock:
            was_on, self.is_on = self.is_on, False
        if was_on:
            logger.warning(self._over)


def is_server_away(error: BaseException) -> bool:
    """Tell whether an error only means that a server or a process of ours is gone."""
    is_gone = is_database_away(error) or is_broker_away(error)
    return is_gone or isinstance(error, WorkerLostError)


def is_broker_away(error: BaseException) -> bool:
    """Tell whether an error only means that the broker does not answer."""
    return isinstance(error, BrokerError | SchedulingError | redis.exceptions.ConnectionError)


def is_database_away(error: BaseException) -> bool:
    """Tell whether an error, or what caused it, only means that the database does not answer."""
    if not isinstance(error, OperationalError | InterfaceError | InternalError):
        return error.__cause__ is not None and is_database_away(error.__cause__)
    state = getattr(error.__cause__, "sqlstate", "")  # SQLite's errors have none.
    return state is None or state.startswith(AWAY)  # Who was never connected got None.
