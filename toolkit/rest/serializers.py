"""The base class of serializers that write: whatever would come to nothing is refused."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, TypeVar

from django.db import models
from django.utils.dateparse import parse_datetime
from rest_framework import serializers

from toolkit.rest.fields import StrictBooleanField, StrictCharField

Row = TypeVar("Row", bound=models.Model)


class StrictSerializer(serializers.ModelSerializer[Row]):
    """Refuses unknown fields: a mailing with a misspelt `filters` would go to everyone.

    Read-only fields may be sent back as they are, as in a GET followed by a PUT. With any other
    value they are refused, for nothing would come of it.
    """

    serializer_field_mapping: ClassVar = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: StrictCharField,
        models.TextField: StrictCharField,
        models.BooleanField: StrictBooleanField,
    }
    # Read-only fields that change by themselves between a GET and a PUT: their value is ignored.
    changing: ClassVar[Collection[str]] = ()

    def to_internal_value(self, data: Any) -> Any:
        """Return the values that may be written.

        Raises:
            ValidationError: a name is unknown, what is read-only differs from what is stored, or a
                value is malformed.
        """
        if isinstance(data, Mapping):
            self._refuse_unknown(data)
            self._refuse_read_only(data)
        return super().to_internal_value(data)

    def _refuse_unknown(self, data: Mapping[str, Any]) -> None:
        if unknown := sorted(set(data) - set(self.fields)):
            name = unknown[0][:64].encode(errors="backslashreplace").decode()
            raise serializers.ValidationError(
                {name: f"There is no such field; there are {', '.join(self.fields)}."},
                code="unknown_field",
            )

    def _refuse_read_only(self, data: Mapping[str, Any]) -> None:
        sent = {
            name
            for name, field in self.fields.items()
            if field.read_only and name in data and name not in self.changing
        }
        stored = self.to_representation(self.instance) if sent and self.instance else {}
        wrong = {name for name in sent if name not in stored or not _same(data[name], stored[name])}
        if wrong:
            sentence = "This cannot be written. Leave it out, or send it back as it is."
            raise serializers.ValidationError(dict.fromkeys(wrong, sentence), code="read_only")


def _same(sent: object, stored: object) -> bool:
    """Tell whether two values in JSON are the same; a moment may be written in several ways."""
    return sent == stored or _moment(sent) == _moment(stored) is not None


def _moment(value: object) -> object:
    try:
        return parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        return None
