"""The mailing's own kinds of values in JSON."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from clients.tags import MAX_LENGTH
from mailings.filters import KEYS, MAX_VALUES

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
