"""Serializers that refuse what they do not know."""

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db.models import Model
from rest_framework import serializers

Row = TypeVar("Row", bound=Model)


class StrictSerializer(serializers.ModelSerializer[Row]):
    """Refuses names it does not know: a mailing with a misspelt filter would go to everyone.

    What is read-only may be sent back, as in a GET followed by a PUT, and is left as it is.
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
