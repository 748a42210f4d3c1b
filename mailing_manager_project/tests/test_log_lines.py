"""What is written to the log, for somebody who reads it during an outage."""

import logging
import sys
from collections.abc import Callable

import psycopg
import pytest
import redis.exceptions
from celery.beat import SchedulingError
from django.db import OperationalError
from kombu.exceptions import OperationalError as BrokerError

from mailing_manager_project.log_lines import ServerAwayFormatter


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
        lambda: raised(BrokerError("Error 111 connecting to 127.0.0.1:6379.")),
        lambda: raised(redis.exceptions.ConnectionError("Connection closed by server.")),
        lambda: raised(SchedulingError("Couldn't apply scheduled task.")),
    ],
)
def test_that_a_server_is_away_is_said_in_one_line(make: Callable[[], Exception]) -> None:
    error = make()
    reason = str(error).partition("\n")[0]
    assert line("Ticking failed.", error) == f"room: Ticking failed. ({reason})"


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
    ],
)
def test_anything_else_says_where_it_happened(error: Exception) -> None:
    assert "Traceback" in line("Ticking failed.", error)
    assert "in raised" in line("Ticking failed.", error)
