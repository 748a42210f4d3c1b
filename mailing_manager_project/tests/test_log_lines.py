"""What is written to the log, for somebody who reads it during an outage."""

import json
import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import redis.exceptions
from billiard import einfo
from billiard.exceptions import WorkerLostError
from celery.beat import SchedulingError
from celery.signals import after_task_publish
from celery.worker.consumer.consumer import CONNECTION_ERROR  # type: ignore[attr-defined]
from django.db import InternalError, OperationalError
from django.db.backends.signals import connection_created
from health_check.exceptions import ServiceUnavailable
from kombu.exceptions import OperationalError as BrokerError

from mailing_manager_project.log_lines import OutageFilter
from tests.log import formatter

logger = logging.getLogger(__name__)


def written(form: str, message: str, error: Exception | None = None, **extra: Any) -> str:
    """Return the line that is written of an event."""
    exc_info = (type(error), error, error.__traceback__) if error else None
    record = logger.makeRecord("room", logging.ERROR, "", 0, message, (), exc_info, extra=extra)
    return formatter(form).format(record)


def fields(message: str, error: Exception | None = None, **extra: Any) -> dict[str, Any]:
    """Return the fields of the line in JSON."""
    (line,) = written("json", message, error, **extra).splitlines()
    event: dict[str, Any] = json.loads(line)
    return event


def line(message: str, error: Exception | None = None) -> str:
    """Return what is said of an event, with the traceback if there is one."""
    event = fields(message, error)
    return f"{event['event']}{event.get('exception', '')}"


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


def test_an_event_is_a_line_of_json_or_for_a_reader() -> None:
    event = fields("It works.\nIndeed.", mailing=5, cause="not for the log")
    said_at = datetime.fromisoformat(event.pop("timestamp"))
    assert timedelta(0) <= datetime.now(UTC) - said_at < timedelta(minutes=1)
    assert event == {
        "event": "It works.\nIndeed.",
        "level": "error",
        "logger": "room",
        "pid": os.getpid(),
        "mailing": 5,
    }
    shown = written("console", "It works.", mailing=5)
    assert "[error    ] It works." in shown
    assert "mailing=5" in shown


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
    assert line("Ticking failed.", error) == f"Ticking failed. ({reason})"


def test_that_a_process_was_killed_is_said_in_one_line() -> None:
    lost = raised(WorkerLostError("Worker exited prematurely: signal 9 (SIGKILL)."))
    wrapped = einfo.ExceptionWithTraceback(lost, None)  # type: ignore[attr-defined]  # it is there
    assert line(f"Task handler raised error: {lost!r}", wrapped) == (
        f"Task handler raised error: {lost!r}"
    )


def test_a_reason_that_the_message_gives_is_not_given_twice() -> None:
    error = raised(BrokerError("Connection refused."))
    assert line(f"Ticking failed: {error}\nTraceback …", error) == (
        "Ticking failed: Connection refused."
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
def log(monkeypatch: pytest.MonkeyPatch) -> "Log":
    """Return what the programs' log is made of, with the lines that it has."""
    for signal in (connection_created, after_task_publish):
        monkeypatch.setattr(signal, "receivers", [])  # among them this process's own log
    log = Log()
    monkeypatch.setattr(logging.getLogger(), "handlers", [log])
    return log


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


def test_an_outage_of_the_broker_is_two_lines_too(log: Log) -> None:
    celerys = logging.getLogger("celery.worker.consumer.consumer")
    for _ in range(3):
        celerys.error(CONNECTION_ERROR, "redis://here", "refused", "Trying again")
        logger.error("A message error.", exc_info=raised(BrokerError("refused")))
    logging.getLogger("celery").error("Connected to %s", "redis://here")
    celerys.error(CONNECTION_ERROR, "redis://here", "refused", "Trying again")
    after_task_publish.send(None)
    said = [line.partition("\n")[0] for line in log.lines]
    again = "The broker answers again."
    cut = "consumer: Cannot connect to redis://here: refused."
    assert said == [cut, again, "Connected to redis://here", cut, again]


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
        event = fields(text, raised(ValueError(text)), user=text)
        for said in (event["event"], event["exception"], event["user"]):
            assert "***" in said
            assert "79995557531" not in said
            assert "12125550103" not in said
        assert "ValueError" in event["exception"]
        assert "79995557531" not in written("console", text, raised(ValueError(text)))

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
        assert line(text) == text
