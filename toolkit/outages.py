"""Whether an error of the database says that it does not answer, and nothing of the statement."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import Error, InterfaceError, InternalError, OperationalError

# A transaction has stood idle for too long: this process was stopped, or the link was dead. Of all
# ways in which Postgres ends a session it is the only one that counts as an internal error.
IDLE_IN_TRANSACTION = "25P03"

logger = logging.getLogger(__name__)


def is_outage(error: BaseException) -> bool:
    """Tell whether the connection is lost, or there was none; what was asked may be asked again."""
    if isinstance(error, InternalError):
        return getattr(error.__cause__, "sqlstate", None) == IDLE_IN_TRANSACTION
    return isinstance(error, OperationalError | InterfaceError)


@contextmanager
def tolerate_database_outage(what: str) -> Iterator[None]:
    """Log that the database is away, and let the task end: the next tick finds what is left.

    `what` begins the logged sentence.
    """
    try:
        yield
    except Error as error:
        if not is_outage(error):
            raise
        reason = str(error).strip().partition("\n")[0]
        logger.error(
            "%s waits for the database, which does not answer: %s",
            what, reason, extra={"cause": error},
        )  # fmt: skip
