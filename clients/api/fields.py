"""Fields of clients in JSON."""

from typing import Any

from django.core.exceptions import ValidationError
from rest_framework import serializers

from clients import phone_numbers
from toolkit.rest.fields import StrictCharField


class PhoneNumberField(StrictCharField):
    """An international phone number, normalised to digits before it is compared or stored."""

    def to_internal_value(self, data: Any) -> str:
        """Return the digits of a number written as people write it."""
        number = super().to_internal_value(data)
        try:
            return phone_numbers.normalise(number)
        except ValidationError as error:
            raise serializers.ValidationError(error.messages, code=error.code) from None
