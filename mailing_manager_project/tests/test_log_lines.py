"""What is written to the log, for somebody who reads it during an outage."""

import logging
import sys
from collections.abc import Callable, Iterator

import psycopg
import pytest
import redis.exceptions
from billiard import einfo
from billiard.exceptions import WorkerLostError
from celery.beat import SchedulingError
from django.db import InternalError, OperationalError
from django.db.backends.signals import connection_created
from health_check.exceptions import ServiceUnavailable
from kombu.exceptions import OperationalError as BrokerError

from mailing_manager_project.log_lines import OutageFilter, ServerAwayFormatter

logger = logging.getLogger(__name__)


def line(message: str, error: Exception | None = None) -> str:
    """Return what is written of an event, without the time."""
    exc_info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("room", logging.ERROR, "", 0, message, (), exc_info)
    return ServerAwayFormatter().format(record).partition(" ERROR ")[2]


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception:
        caught = sys.exc_info()[1]
        assert isinstance(caught, Exception)
        return caught


def refused(port: int = 1) -> Exception:
    """Return what comes of a Postgres that is not there."""
    try:
        psycopg.connect(f"host=127.0.0.1 port={port} connect_timeout=5")
    except psycopg.OperationalError as error:
        return raised(OperationalError(*error.args), error)
    raise AssertionError("Something listens on port 1.")


def test_an_event_is_a_line() -> None:
    assert line("It works.") == "room: It works."


@pytest.mark.parametrize(
    "make",
    [
        refused,
        lambda: raised(OperationalError("closing"), psycopg.errors.AdminShutdown("closing")),
        lambda: raised(ServiceUnavailable("connection failed"), refused()),
        lambda: raised(BrokerError("Error 111 connecting to 127.0.0.1:6379.")),
        lambda: raised(redis.exceptions.ConnectionError("Connection closed by server.")),
        lambda: raised(SchedulingError("Couldn't apply scheduled task.")),
        lambda: raised(InternalError("idle"), psycopg.errors.IdleInTransactionSessionTimeout("x")),
    ],
)
def test_that_a_server_is_away_is_said_in_one_line(make: Callable[[], Exception]) -> None:
    error = make()
    reason = str(error).partition("\n")[0]
    assert line("Ticking failed.", error) == f"room: Ticking failed. ({reason})"


def test_that_a_process_was_killed_is_said_in_one_line() -> None:
    lost = raised(WorkerLostError("Worker exited prematurely: signal 9 (SIGKILL)."))
    wrapped = einfo.ExceptionWithTraceback(lost, None)  # type: ignore[attr-defined]  # it is there
    assert line(f"Task handler raised error: {lost!r}", wrapped) == (
        f"room: Task handler raised error: {lost!r}"
    )


def test_a_reason_that_the_message_gives_is_not_given_twice() -> None:
    error = raised(BrokerError("Connection refused."))
    assert line(f"Ticking failed: {error}\nTraceback …", error) == (
        "room: Ticking failed: Connection refused."
    )


@pytest.mark.parametrize(
    "error",
    [
        raised(ValueError("a mistake of ours")),
        raised(OperationalError("deadlock"), psycopg.errors.DeadlockDetected("deadlock")),
        raised(OperationalError("database is locked")),
        raised(OperationalError("too slow"), psycopg.errors.QueryCanceled("too slow")),
    ],
)
def test_anything_else_says_where_it_happened(error: Exception) -> None:
    assert "Traceback" in line("Ticking failed.", error)
    assert "in raised" in line("Ticking failed.", error)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> "Iterator[Log]":
    """Return what the programs' log is made of, with the lines that it has."""
    monkeypatch.setattr(connection_created, "receivers", [])  # among them this process's own log
    log = Log()
    logging.getLogger().addHandler(log)
    yield log
    logging.getLogger().removeHandler(log)


class Log(logging.Handler):
    """The programs' log, in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.addFilter(OutageFilter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def test_an_outage_is_a_line_at_its_beginning_and_one_at_its_end(log: Log) -> None:
    for _ in range(3):
        logger.error("Planning waits.", extra={"cause": refused()})
        logger.error("Ticking failed.", exc_info=refused())
    connection_created.send(None)
    connection_created.send(None)
    logger.error("Ticking failed.", exc_info=refused())
    assert log.lines == ["Planning waits.", "The database answers again.", "Ticking failed."]


def test_in_an_outage_requests_that_fail_are_no_events(log: Log) -> None:
    failed = {"status_code": 503}
    logger.error("Busy.", extra=failed)
    logger.error("The database is away.", exc_info=refused())
    logger.error("Service Unavailable: /api/v1/mailings/", extra=failed)
    logger.error("Something else.")
    logger.warning("Not Found: /nothing/", extra={"status_code": 404})
    assert log.lines == [
        "Busy.",
        "The database is away.",
        "Something else.",
        "Not Found: /nothing/",
    ]


def test_a_connection_without_an_outage_before_it_is_no_event(log: Log) -> None:
    connection_created.send(None)
    assert log.lines == []


class TestNumbers:
    @pytest.mark.parametrize(
        "text",
        [
            "Key (phone_number)=(79995557531) already exists.",
            "Failing row contains (1, '+79995557531', 999).",
            "No answer for 79995557531.",
            "12125550103",
        ],
    )
    def test_are_masked_also_in_tracebacks(self, text: str) -> None:
        try:
            raise ValueError(text)
        except ValueError:
            record = logging.LogRecord("x", logging.ERROR, "", 1, text, None, sys.exc_info())
        line = ServerAwayFormatter().format(record)

        assert "***" in line
        assert "79995557531" not in line
        assert "12125550103" not in line
        assert "ValueError" in line

    @pytest.mark.parametrize(
        "text",
        [
            "Mailing 123456789: 100000000 messages",
            "6917529027641081856",
            "Task send_message[f8506f27-60d0-4320-9cbc-123456789012]",
            "2030-01-31 06:00:00,120 in 0.1375399259995902s",
        ],
    )
    def test_ids_and_times_are_not(self, text: str) -> None:
        record = logging.LogRecord("x", logging.INFO, "", 1, text, None, None)

        assert ServerAwayFormatter().format(record).endswith(text)
