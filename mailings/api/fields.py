"""Fields of mailings in JSON."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from clients.audience import JSON_SCHEMA


@extend_schema_field(JSON_SCHEMA)
class FiltersField(serializers.JSONField):
    """A mailing's filters."""

    def to_internal_value(self, data: Any) -> Any:
        """Return them as they are; they were parsed from JSON, so they need no check for it."""
        return data
