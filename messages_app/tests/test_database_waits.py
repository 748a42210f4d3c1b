"""What a process does while it waits for Postgres."""

from threading import Thread
from typing import Any

import pytest
from django.db import DataError, connection, transaction

from messages_app.engine.database_waits import meanwhile

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


class Counter:
    """Counts how often it is called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1


@pytest.fixture
def calls() -> Counter:
    return Counter()


def sleep(seconds: float = 0.05) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 7; SELECT pg_sleep(%s)", [seconds])
        return list(cursor.fetchall())


def test_it_does_something_else_until_the_context_ends(calls: Counter) -> None:
    with meanwhile(calls):
        assert sleep() == [(7,)]
        assert calls.calls > 1
        with transaction.atomic():
            sleep()
    counted = calls.calls
    sleep()
    assert calls.calls == counted


def test_it_does_so_with_a_connection_that_follows_a_lost_one(calls: Counter) -> None:
    with meanwhile(calls):
        connection.close()
        sleep()
        assert calls.calls > 1
    calls.calls = 0
    connection.close()
    sleep()
    assert not calls.calls


def test_an_error_of_a_statement_is_raised_as_ever(calls: Counter) -> None:
    with meanwhile(calls):
        with connection.cursor() as cursor, pytest.raises(DataError):
            cursor.execute("SELECT pg_sleep(0.02); SELECT 1 / 0")
        assert calls.calls
        assert sleep() == [(7,)]


def test_the_connections_of_other_threads_are_none_of_its_business(calls: Counter) -> None:
    def other() -> None:
        sleep()
        connection.close()

    with meanwhile(calls):
        thread = Thread(target=other)
        thread.start()
        thread.join()
    assert not calls.calls
