"""A limit on how long statements may take, for what is worth no more than that."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction

CANCELLED = "57014"  # Postgres's word for a statement that took longer than it may


class TookTooLong(Exception):  # noqa: N818  # an answer, and no mistake of anybody
    """A statement was given up."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Give up each statement in the block that takes longer; the transaction goes on after that.

    SQLite has no such limit, and nothing happens there.

    Raises:
        TookTooLong: a statement was given up.
    """
    if connection.vendor != "postgresql":
        yield
        return
    try:
        with transaction.atomic():
            before = _set(f"{seconds * 1000:.0f}ms")
            yield
            _set(before)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != CANCELLED:
            raise
        raise TookTooLong from error


def _set(value: str) -> str:
    """Set the limit until the transaction ends; return what it was."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout')")
        (before,) = cursor.fetchone()
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [value])
    return str(before)
