"""The mailing's own kinds of values in JSON."""

import re
from datetime import datetime, time
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


HOUR = r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?$"


@extend_schema_field({"type": "string", "pattern": HOUR, "example": "09:00"})
class LocalTimeField(serializers.TimeField):
    """What a clock on the wall reads; it has no offset from UTC, being each client's own."""

    default_error_messages: ClassVar = {
        "invalid": "Write a local time such as 09:00 or 21:30:00, without an offset, or null.",
    }

    def to_internal_value(self, value: Any) -> time:
        """Return the reading."""
        if not isinstance(value, str) or not re.fullmatch(HOUR, value):
            self.fail("invalid")
        return time.fromisoformat(value)


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
