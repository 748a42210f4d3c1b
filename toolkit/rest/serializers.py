"""The base class of serializers that write: unknown fields are refused."""

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db.models import Model
from rest_framework import serializers

Row = TypeVar("Row", bound=Model)


class StrictSerializer(serializers.ModelSerializer[Row]):
    """Refuses unknown fields: a mailing with a misspelt `filters` would go to everyone.

    Read-only fields may be sent back, as in a GET followed by a PUT, and are ignored.
    """

    def to_internal_value(self, data: Any) -> Any:
        """Return the values that may be written.

        Raises:
            ValidationError: a name is unknown, or a value is malformed.
        """
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, Mapping) else []
        if unknown:
            name = unknown[0][:64].encode(errors="backslashreplace").decode()
            raise serializers.ValidationError(
                {name: f"There is no such field; there are {', '.join(self.fields)}."},
                code="unknown_field",
            )
        return super().to_internal_value(data)
