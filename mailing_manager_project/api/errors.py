"""One error format, and which refusal is which status."""

from django.core.exceptions import ValidationError
from django.db import IntegrityError, OperationalError
from drf_standardized_errors.handler import ExceptionHandler
from rest_framework import exceptions, status
from rest_framework.serializers import as_serializer_error


class Conflict(exceptions.APIException):
    """409: well-formed, but the state of things forbids it now."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "Somebody else changed the same thing at the same moment. Try again."
    default_code = "conflict"


class Unavailable(exceptions.APIException):
    """503: nothing is wrong with the request."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "The database cannot be reached. Try again in a moment."
    default_code = "database_unavailable"


class ErrorHandler(ExceptionHandler):
    """Turn what the rooms raise into the one error format."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        """Map a refusal that names a field to 400 and one that names a state to 409."""
        if isinstance(exc, ValidationError):
            if hasattr(exc, "error_dict"):
                return exceptions.ValidationError(as_serializer_error(exc))
            return Conflict(exc.messages[0], code=exc.code)
        if isinstance(exc, IntegrityError):
            return Conflict()
        if isinstance(exc, OperationalError):
            return Unavailable()
        return super().convert_known_exceptions(exc)
