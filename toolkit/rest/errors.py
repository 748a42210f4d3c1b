"""One error format, and which refusal is which status."""

from django.core.exceptions import (
    ObjectDoesNotExist,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http.request import UnreadablePostError
from drf_standardized_errors.handler import ExceptionHandler
from rest_framework import exceptions, status
from rest_framework.serializers import as_serializer_error


class Conflict(exceptions.APIException):
    """409: well-formed, but the state of things forbids it now."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "Somebody else changed the same thing at the same moment. Try again."
    default_code = "conflict"


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


class ErrorHandler(ExceptionHandler):
    """Turn what the rooms raise into the one error format."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        """Return the API's own exception for one of Django's, or the exception itself."""
        match exc:
            case ValidationError():
                return _refusal(exc)
            case IntegrityError() | ObjectDoesNotExist():  # Somebody else was faster.
                return Conflict()
            case OperationalError() | InterfaceError():
                return Unavailable()
            case RequestDataTooBig():
                return TooLarge()
            # A NUL in a cookie; a thousand parameters; half a body.
            case DataError() | SuspiciousOperation() | UnreadablePostError():
                return exceptions.ParseError("The request cannot be read. Nothing was done.")
        return super().convert_known_exceptions(exc)


def _refusal(error: ValidationError) -> exceptions.APIException:
    """Return 400 for a refusal that names a field, and 409 for one that names a state."""
    if hasattr(error, "error_dict"):
        return exceptions.ValidationError(as_serializer_error(error))
    return Conflict(error.messages[0], code=error.code)
