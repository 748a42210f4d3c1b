"""Messages as JSON, and what is refused."""

from typing import Any, ClassVar

from django.utils import timezone
from rest_framework import serializers

from clients.api.serializers import StrictSerializer
from clients.models import Client
from messages_app import services
from messages_app.models import Message


class IdField(serializers.PrimaryKeyRelatedField[Any]):
    """An id: a whole number. Half a number, or true, would find somebody else."""

    default_error_messages: ClassVar = {
        "does_not_exist": "There is none with the id {pk_value}.",
        "incorrect_type": "Write an id, which is a whole number.",
    }

    def to_internal_value(self, data: Any) -> Any:
        """Return the row that has the id."""
        if type(data) is not int:
            self.fail("incorrect_type")
        return super().to_internal_value(data)


class MessageSerializer(StrictSerializer[Message]):
    """One mailing's text on its way to one client. Its status is never set from outside."""

    serializer_related_field = IdField
    client = IdField(
        queryset=Client.objects.all(),
        help_text="Whom it is for; null once that client was deleted.",
    )

    class Meta:
        """What became of a message."""

        model = Message
        fields = (
            "id",
            "mailing",
            "client",
            "status",
            "created_at",
            "sent_at",
            "attempts",
            "next_attempt_at",
            "error_code",
            "error",
        )
        read_only_fields = fields[3:]
        extra_kwargs: ClassVar = {"mailing": {"help_text": "Whose text it is."}}

    def create(self, validated_data: dict[str, Any]) -> Message:
        """Add the client to the mailing by hand."""
        return services.add_message(**validated_data, now=timezone.now())

    def update(self, instance: Message, validated_data: dict[str, Any]) -> Message:
        """Address a message that was never tried to another client or mailing."""
        mailing = validated_data.get("mailing", instance.mailing)
        client = validated_data.get("client", instance.client)
        if (mailing, client) == (instance.mailing, instance.client):
            return instance
        if client is None:
            raise serializers.ValidationError(
                {"client": "Its client was deleted. Name another one."}, code="required"
            )
        return services.move_message(instance, mailing=mailing, client=client, now=timezone.now())


class CountsSerializer(serializers.Serializer[Any]):
    """Messages by status; they always add up."""

    pending = serializers.IntegerField()
    success = serializers.IntegerField()
    fail = serializers.IntegerField()  # type: ignore[assignment]  # the metaclass takes it away
    total = serializers.IntegerField()


class MessageStatsSerializer(CountsSerializer):
    """Messages by status, and the failed ones by reason."""

    error_codes = serializers.DictField(child=serializers.IntegerField())
