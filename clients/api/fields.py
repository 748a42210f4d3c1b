"""The client's own kinds of values in JSON."""

from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from rest_framework import serializers
from rest_framework.fields import empty

from clients import phone_numbers, time_zones


class PhoneNumberField(serializers.CharField):
    """An international phone number, normalised to digits before it is compared or stored."""

    def to_internal_value(self, data: Any) -> str:
        """Return the digits of a number written as people write it."""
        number: str = super().to_internal_value(data)
        try:
            return phone_numbers.normalise(number)
        except ValidationError as error:
            raise serializers.ValidationError(error.messages, code=error.code) from None


class TimeZoneField(serializers.CharField):
    """The IANA name of a time zone."""

    default_validators = (time_zones.validate,)

    def run_validation(self, data: Any = empty) -> ZoneInfo:
        """Return the zone of a name."""
        return ZoneInfo(str(super().run_validation(data)))

    def to_representation(self, value: object) -> str:
        """Return the name of a zone."""
        return str(value)
