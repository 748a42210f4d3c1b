"""Fields of mailings in JSON."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from clients.audience import JSON_SCHEMA
from mailings.models import Mailing


@extend_schema_field(JSON_SCHEMA)
class FiltersField(serializers.JSONField):
    """A mailing's filters."""

    def to_internal_value(self, data: Any) -> Any:
        """Return them as they are; they were parsed from JSON, so they need no check for it."""
        return data


# What a new mailing's status may be given as.
STATUSES_OF_NEW = [(Mailing.Status.DRAFT.value, "Draft")]


class DraftField(serializers.ChoiceField):
    """The status that a new mailing may be given: a draft. In answers it is any status."""

    default_error_messages: ClassVar = {
        "invalid_choice": "Write draft, or leave it out: then the mailing starts by itself."
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=STATUSES_OF_NEW, **kwargs)
