"""Whether an error of the database says that it does not answer, and nothing of the statement."""

from django.db import InterfaceError, InternalError, OperationalError

# A transaction has stood idle for too long: this process was stopped, or the link was dead. Of all
# ways in which Postgres ends a session it is the only one that counts as an internal error.
IDLE_IN_TRANSACTION = "25P03"


def is_outage(error: BaseException) -> bool:
    """Tell whether the connection is lost, or there was none; what was asked may be asked again."""
    if isinstance(error, InternalError):
        return getattr(error.__cause__, "sqlstate", None) == IDLE_IN_TRANSACTION
    return isinstance(error, OperationalError | InterfaceError)
