"""Clients as JSON: their fields, and what is refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import IntegrityError, transaction
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from clients import phone_numbers, services
from clients.api.examples import CLIENT, COUNTS, NEW_CLIENT
from clients.api.fields import PhoneNumberField
from clients.models import Client
from toolkit.rest.errors import Taken
from toolkit.rest.fields import TimeZoneField
from toolkit.rest.serializers import StrictSerializer


@extend_schema_serializer(examples=[NEW_CLIENT, CLIENT])
class ClientSerializer(StrictSerializer[Client]):
    """Somebody a mailing can reach."""

    # Whether it is taken, the database says when it is saved: nobody else can tell for sure.
    phone_number = PhoneNumberField(
        max_length=32,
        help_text="Digits of an international number; written any usual way, answered as digits.",
    )
    timezone = TimeZoneField(
        default="UTC", help_text="IANA name, for example Europe/Moscow. Without it, UTC."
    )

    class Meta:
        model = Client
        fields = services.SHOWN

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Derive the operator code from the number where none is given.

        A PATCH without a code keeps one that somebody wrote, even if it changes the number.
        """
        client = self.instance or Client()
        number = attrs.get("phone_number", client.phone_number)
        code = attrs.get("operator_code", self._kept_operator_code())
        attrs["operator_code"] = code or phone_numbers.operator_code_of(number)
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Client:
        """Save a new client."""
        with _taken_number(validated_data.get("phone_number")):
            return services.create_client(Client(**validated_data))

    def update(self, instance: Client, validated_data: dict[str, Any]) -> Client:
        """Save only the changed fields, over the client as it is in the database now."""
        with _taken_number(validated_data.get("phone_number")):
            return services.edit_client(instance, **validated_data)

    def _kept_operator_code(self) -> str:
        """Return the code that a PATCH without one keeps, or "" where it is to be derived.

        A code is kept that differs from the one derived from the client's number.
        """
        client = self.instance
        if not self.partial or client is None:
            return ""
        derived = phone_numbers.operator_code_of(client.phone_number)
        return "" if client.operator_code == derived else client.operator_code


@contextmanager
def _taken_number(number: str | None) -> Iterator[None]:
    """Say who has a number, if the client that is saved meanwhile cannot have it.

    Raises:
        Taken: another client has it.
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        owner = Client.objects.filter(phone_number=number).first()
        if owner is None:
            raise
        raise Taken(
            "There is already a client with this phone number.",
            code="phone_number_taken",
            attr="phone_number",
            pk=owner.pk,
        ) from None


@extend_schema_serializer(examples=[COUNTS])
class ClientStatsSerializer(serializers.Serializer[Any]):
    """How many clients there are, and of what kind; the most frequent values first."""

    total = serializers.IntegerField()
    operator_codes = serializers.DictField(child=serializers.IntegerField())
    tags = serializers.DictField(child=serializers.IntegerField())
    timezones = serializers.DictField(child=serializers.IntegerField())
