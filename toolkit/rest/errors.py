"""One error format, and which refusal is which status.

A service that refuses raises ValidationError, and how it raises it decides the status: with a
dictionary of fields it is 400, for what was written there is wrong; with a sentence and a code it
is 409, for the request is well-formed and the state of things forbids it now.

What nobody refused is 409 only where somebody else was faster: see `is_race` and `is_vanished`.
Anything else that a view or a service lets out is our own fault: 500, and a traceback in the log.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import (
    ObjectDoesNotExist,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.db import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    OperationalError,
    transaction,
)
from django.db.models import Model
from django.http.request import UnreadablePostError
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import ErrorResponse
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.serializers import as_serializer_error

from toolkit.outages import is_outage
from toolkit.rest.fair_use import TooMany, count_refused
from toolkit.rest.problems import MEDIA_TYPE, as_problem, is_wanted

# How Postgres (sqlstate) and SQLite (sqlite_errorname) name what is looked for here.
UNIQUE_OR_FOREIGN_KEY = {
    "23503", "23505",
    "SQLITE_CONSTRAINT_FOREIGNKEY", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE",
}  # fmt: skip
# Deadlocked, cancelled, not to be put in order with others, not locked in time.
LOCKED = "55P03"
BUSY = {"40P01", "57014", "40001", LOCKED, "SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT"}

# How the codes end of what passes by itself, and when to look again: a lease lasts a minute.
PASSING = ("_in_flight", "_in_progress", "_under_way")
WAIT_FOR_LEASE = 60  # seconds

logger = logging.getLogger(__name__)


class Conflict(exceptions.APIException):
    """409: well-formed, but the state of things forbids it now."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "Somebody else changed the same thing at the same moment. Try again."
    default_code = "conflict"

    def __init__(self, detail: str | None = None, code: str | None = None) -> None:
        super().__init__(detail, code)
        if code and code.endswith(PASSING):
            self.wait = WAIT_FOR_LEASE  # told as Retry-After


class Taken(Conflict):
    """409: another row has this value, which may be there once only."""

    def __init__(self, detail: str, *, code: str, attr: str, pk: int) -> None:
        super().__init__(detail, code=code)
        self.attr = attr
        self.pk = pk


@contextmanager
def telling_who_has(
    model: type[Model], instance: Model | None, values: Mapping[str, Any], sentences: dict[str, str]
) -> Iterator[None]:
    """Say who has a value that may be there once, if a row cannot be saved meanwhile for that.

    Args:
        model: of the row.
        instance: the row, unless it is a new one.
        values: that are saved.
        sentences: {field: what is said where another row has its value}.

    Raises:
        Taken: another row has one of the values.
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        others = model._default_manager.exclude(pk=instance and instance.pk)
        for name, sentence in sentences.items():
            value = values.get(name)
            owner = others.filter(**{name: value}).first() if value is not None else None
            if owner is not None:
                code = f"{name}_taken"
                raise Taken(sentence, code=code, attr=name, pk=owner.pk) from None
        raise


class TooLarge(exceptions.APIException):
    """413: more than anything that could be accepted."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large."
    default_code = "too_large"


class Unavailable(exceptions.APIException):
    """503: nothing is wrong with the request."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "The database cannot be reached. Try again in a moment."
    default_code = "database_unavailable"
    wait = 5  # seconds, told as Retry-After


class Busy(Unavailable):
    """503: the database is there, and had to give up this request for another one."""

    default_detail = "The database was busy with something else. Try again in a moment."
    default_code = "database_busy"
    wait = 1


class ErrorFormatter(ExceptionFormatter):
    """Write of what is taken by which field, and by whom."""

    def format_error_response(self, error_response: ErrorResponse) -> Any:
        """Return an error as it is answered."""
        body = super().format_error_response(error_response)
        if isinstance(self.exc, Taken):
            body["errors"] = [
                {**error, "attr": self.exc.attr, "id": self.exc.pk} for error in body["errors"]
            ]
        return body


class ErrorHandler(ExceptionHandler):
    """Turn what the rooms raise into the one error format, or a problem for who asks."""

    def run(self) -> Response | None:
        """Answer an error; one that came before requests are counted is counted first."""
        request = self.context["request"]
        try:
            if isinstance(self.exc, exceptions.APIException):
                count_refused(request, self.context["view"])
        except TooMany as error:
            self.exc = error
        response = super().run()
        if response is not None and request is not None and is_wanted(request):
            response.data = as_problem(response.data, response.status_code)
            response.content_type = MEDIA_TYPE
        return response

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        """Return the API's own exception for one of Django's, or the exception itself."""
        match exc:
            case ValidationError():
                return _refusal(exc)
            case IntegrityError() if is_race(exc):
                return Conflict()
            case ObjectDoesNotExist() if is_vanished(exc, self.context["view"]):
                return Conflict()
            case OperationalError() if _reason(exc) in BUSY:
                return Busy()
            case Error() if is_outage(exc):
                logger.error("Requests are refused: the database does not answer.", exc_info=exc)
                return Unavailable()
            case RequestDataTooBig():
                return TooLarge()
            # A NUL in a cookie; a thousand parameters; half a body.
            case DataError() | SuspiciousOperation() | UnreadablePostError():
                return exceptions.ParseError("The request cannot be read. Nothing was done.")
        return super().convert_known_exceptions(exc)


def is_race(error: IntegrityError) -> bool:
    """Tell whether somebody else was faster.

    A unique value or a reference was looked at before it was written, so only another writer can
    have made it wrong since. A NULL or a value that a CHECK forbids was ours from the beginning.
    """
    return _reason(error) in UNIQUE_OR_FOREIGN_KEY


def is_locked(error: OperationalError) -> bool:
    """Tell whether Postgres gave up waiting for a lock."""
    return _reason(error) == LOCKED


def is_vanished(error: ObjectDoesNotExist, view: Any) -> bool:
    """Tell whether a row went away between the look at it and the lock on it.

    Views answer 404 for what they do not find, and serializers 400; so when a service finds no
    row of the view's own model, or of one that this refers to, somebody has just deleted it. Rows
    of other models nobody has looked for, and that one is missing is a mistake of ours.
    """
    queryset = getattr(view, "queryset", None)  # Not every view has one.
    if queryset is None:
        return False
    referred = [field.related_model for field in queryset.model._meta.fields]
    models = [queryset.model, *filter(None, referred)]
    return isinstance(error, tuple(model.DoesNotExist for model in models))


def _reason(error: DatabaseError) -> str:
    """Return the database's own name for what went wrong; nothing where it gave none."""
    cause = error.__cause__
    return str(getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", ""))


def _refusal(error: ValidationError) -> exceptions.APIException:
    """Return 400 for a refusal that names a field, and 409 for one that names a state."""
    if hasattr(error, "error_dict"):
        return exceptions.ValidationError(as_serializer_error(error))
    return Conflict(error.messages[0], code=error.code)
