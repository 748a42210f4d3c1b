"""Clients as JSON: their fields, and what is refused."""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from clients import phone_numbers, services
from clients.api.examples import CLIENT, COUNTS, NEW_CLIENT
from clients.api.fields import PhoneNumberField
from clients.models import Client
from toolkit.rest.errors import telling_who_has
from toolkit.rest.fields import ExternalIdField, TimeZoneField
from toolkit.rest.serializers import StrictSerializer

ONCE = {
    "phone_number": "There is already a client with this phone number.",
    "external_id": "There is already a client with this external id.",
}


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
    external_id = ExternalIdField(
        help_text="The id that your program has for it, up to 64 characters; no two clients have "
        "the same (409 `external_id_taken`). Null: none."
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
        with telling_who_has(Client, None, validated_data, ONCE):
            return services.create_client(Client(**validated_data))

    def update(self, instance: Client, validated_data: dict[str, Any]) -> Client:
        """Save only the changed fields, over the client as it is in the database now."""
        with telling_who_has(Client, instance, validated_data, ONCE):
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


@extend_schema_serializer(examples=[COUNTS])
class ClientStatsSerializer(serializers.Serializer[Any]):
    """How many clients there are, and of what kind; the most frequent values first."""

    total = serializers.IntegerField()
    operator_codes = serializers.DictField(child=serializers.IntegerField())
    tags = serializers.DictField(child=serializers.IntegerField())
    timezones = serializers.DictField(child=serializers.IntegerField())
