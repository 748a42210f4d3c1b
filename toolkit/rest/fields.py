"""Fields in JSON that several apps use."""

import re
from datetime import datetime, time
from functools import lru_cache
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from toolkit import external_ids, time_zones


class StrictCharField(serializers.CharField):
    """A text. A number would be sent to clients as its digits."""

    default_error_messages: ClassVar = {"invalid": "Write a text, in quotation marks."}

    def to_internal_value(self, data: Any) -> str:
        """Return the text without blanks around it, its line breaks of one character each.

        Raises:
            ValidationError: it is no text.
        """
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data.replace("\r\n", "\n"))


class StrictBooleanField(serializers.BooleanField):
    """True or false, and neither a number nor a word that might mean one of them."""

    default_error_messages: ClassVar = {"invalid": "Write true or false, without quotation marks."}

    def to_internal_value(self, data: Any) -> bool:
        """Return it.

        Raises:
            ValidationError: it is something else.
        """
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class IdField(serializers.PrimaryKeyRelatedField[Any]):
    """The id of another row: a whole number. A fraction or true might find the wrong row.

    `is_clearable` says that the other row may be deleted; the id is then null in answers.
    """

    default_error_messages: ClassVar = {
        "does_not_exist": "There is none with the id {pk_value}.",
        "incorrect_type": "Write an id, which is a whole number.",
    }

    def __init__(self, *, is_clearable: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.is_clearable = is_clearable

    def to_internal_value(self, data: Any) -> Any:
        """Return the row with the id.

        Raises:
            ValidationError: it is no whole number, or there is no such row.
        """
        if type(data) is not int:
            self.fail("incorrect_type")
        return super().to_internal_value(data)


class MomentField(serializers.DateTimeField):
    """A time in ISO 8601 that must have an offset from UTC."""

    default_error_messages: ClassVar = {
        "invalid": "Write a moment such as 2030-01-31T09:00:00+03:00 or 2030-01-31T06:00:00Z.",
        "naive": "Say the offset from UTC, for example 2030-01-31T09:00:00+03:00 or …Z.",
    }

    def enforce_timezone(self, value: datetime) -> datetime:
        """Return the time in UTC.

        Raises:
            ValidationError: it has no offset.
        """
        if timezone.is_naive(value):
            self.fail("naive")
        moment: datetime = super().enforce_timezone(value)
        return moment


@lru_cache(4096)  # Many rows were written at the same moment.
def moment_text(moment: datetime) -> str:
    """Return a time in UTC as REST writes it everywhere."""
    return moment.isoformat().replace("+00:00", "Z")


HOUR = r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?$"


@extend_schema_field({"type": "string", "pattern": HOUR, "example": "09:00"})
class LocalTimeField(serializers.TimeField):
    """A local time of day, each client's own, and so without an offset from UTC."""

    default_error_messages: ClassVar = {
        "invalid": "Write a local time such as 09:00 or 21:30:00, without an offset, or null.",
    }

    def to_internal_value(self, value: Any) -> time:
        """Return the time of day.

        Raises:
            ValidationError: it is not written as HOUR says.
        """
        if not isinstance(value, str) or not re.fullmatch(HOUR, value):
            self.fail("invalid")
        return time.fromisoformat(value)


class TimeZoneField(StrictCharField):
    """The IANA name of a time zone."""

    default_validators = (time_zones.validate,)

    def run_validation(self, data: Any = empty) -> ZoneInfo:
        """Return the zone with the name.

        Raises:
            ValidationError: there is none.
        """
        return ZoneInfo(str(super().run_validation(data)))

    def to_representation(self, value: object) -> str:
        """Return the name of a zone."""
        return str(value)


class ExternalIdField(StrictCharField):
    """The id that another program has for a row; an empty text is none, as null is.

    Whether another row has it, the database says when it is saved: nobody else can tell for sure.
    """

    default_validators = (external_ids.validate,)

    def __init__(self, *, help_text: str) -> None:
        super().__init__(
            default=None,
            allow_null=True,
            allow_blank=True,
            max_length=external_ids.MAX_LENGTH,
            help_text=help_text,
        )

    def run_validation(self, data: Any = empty) -> str | None:
        """Return the id, or None.

        Raises:
            ValidationError: it is no text, or one that cannot be an id.
        """
        return super().run_validation(data) or None
