"""The mailing's own kinds of values in JSON."""

from datetime import datetime
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from clients.tags import MAX_LENGTH
from mailings.filters import KEYS, MAX_VALUES


class MomentField(serializers.DateTimeField):
    """A moment in ISO 8601 whose offset from UTC is always told."""

    default_error_messages: ClassVar = {
        "invalid": "Write a moment such as 2030-01-31T09:00:00+03:00 or 2030-01-31T06:00:00Z.",
        "naive": "Say the offset from UTC, for example 2030-01-31T09:00:00+03:00 or …Z.",
    }

    def enforce_timezone(self, value: datetime) -> datetime:
        """Return the moment in UTC."""
        if timezone.is_naive(value):
            self.fail("naive")
        moment: datetime = super().enforce_timezone(value)
        return moment


TEXT = {"type": "string", "maxLength": MAX_LENGTH}
TEXTS = {"type": "array", "items": TEXT, "minItems": 1, "maxItems": MAX_VALUES}


@extend_schema_field(
    {
        "type": "object",
        "properties": {key: {"oneOf": [TEXT, TEXTS]} for key in KEYS},
        "additionalProperties": False,
    }
)
class FiltersField(serializers.JSONField):
    """A mailing's filters."""

    def to_internal_value(self, data: Any) -> Any:
        """Return them as they are; to write them as JSON again would prove nothing."""
        return data
