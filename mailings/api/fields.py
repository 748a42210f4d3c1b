"""The mailing's own kinds of values in JSON."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from clients.audience import JSON_SCHEMA


@extend_schema_field(JSON_SCHEMA)
class FiltersField(serializers.JSONField):
    """A mailing's filters."""

    def to_internal_value(self, data: Any) -> Any:
        """Return them as they are; to write them as JSON again would prove nothing."""
        return data
