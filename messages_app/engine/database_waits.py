"""Has something else done while this thread waits for Postgres.

With a sender that takes 50 ms and a hundred open requests, a sixth of a delivery's time was spent
waiting for the database, and nothing began in it.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from threading import get_ident
from typing import Any

from django.db import connection
from django.db.backends.signals import connection_created

PAUSE = 0.001  # seconds of waiting after which something else is done

# psycopg's own: a step of a conversation with Postgres. It yields what it waits for, and is sent
# what is ready; 0 if nothing is yet.
Step = Generator[Any, int, Any]


@contextmanager
def meanwhile(do: Callable[[], None]) -> Iterator[None]:
    """Call `do` again and again while this thread waits for Postgres, until the context ends.

    `do` must be quick, must not use the database and must not raise. With SQLite it is not called.
    """
    thread = get_ident()

    def attend(**_: Any) -> None:
        if get_ident() != thread:
            return  # It is another thread's connection.
        # Through `vars`, because the wait of this one connection is replaced, not of all.
        psycopg_connection = connection.connection
        vars(psycopg_connection)["wait"] = partial(_wait, psycopg_connection, do)

    if connection.vendor != "postgresql":
        yield
        return
    connection.ensure_connection()
    attend()
    connection_created.connect(attend, weak=False)  # One that is lost is followed by another.
    try:
        yield
    finally:
        connection_created.disconnect(attend)
        if connection.connection:
            vars(connection.connection).pop("wait", None)


def _wait(
    psycopg_connection: Any,
    do: Callable[[], None],
    step: Step,
    interval: float = PAUSE,  # not used, because it is PAUSE that `do` is called after
    timeout: float | None = None,
) -> Any:
    """Take the place of `psycopg.Connection.wait`."""
    wait = type(psycopg_connection).wait
    return wait(psycopg_connection, _attended(step, do), interval=PAUSE, timeout=timeout)


def _attended(step: Step, do: Callable[[], None]) -> Step:
    """Return a step that calls `do` each time that nothing is ready yet."""
    try:
        wanted = next(step)
        while True:
            ready = yield wanted
            if ready:
                wanted = step.send(ready)
            else:
                do()
    except StopIteration as end:
        return end.value
