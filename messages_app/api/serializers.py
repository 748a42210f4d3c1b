"""Messages as JSON, and what is refused."""

from typing import Any

from django.utils import timezone
from rest_framework import serializers

from clients.models import Client
from messages_app import services
from messages_app.models import Message


class MessageSerializer(serializers.ModelSerializer[Message]):
    """One mailing's text on its way to one client. Its status is never set from outside."""

    client = serializers.PrimaryKeyRelatedField(
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

    def create(self, validated_data: dict[str, Any]) -> Message:
        """Add the client to the mailing by hand."""
        return services.add_message(**validated_data, now=timezone.now())

    def update(self, instance: Message, validated_data: dict[str, Any]) -> Message:
        """Address a message that was never tried to another client or mailing."""
        mailing = validated_data.get("mailing", instance.mailing)
        client = validated_data.get("client", instance.client)
        if client is None or (mailing, client) == (instance.mailing, instance.client):
            return instance
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
