"""Messages as JSON: their fields, and what is refused."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from clients.api.serializers import ClientSerializer
from clients.models import Client
from messages_app import services
from messages_app.api import examples
from messages_app.models import Attempt, ErrorCode, Message
from toolkit import clock
from toolkit.rest.choosing import EXPANDED, Expanded
from toolkit.rest.fields import IdField
from toolkit.rest.serializers import StrictSerializer


class ErrorCodeField(serializers.ChoiceField):
    """The `error_code` of a message or an attempt; never written from outside."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=ErrorCode.choices, allow_blank=True, read_only=True, **kwargs)


STATUS = (
    "`pending`: not processed yet. `success`: the sender accepted it; it is never sent again. "
    "`fail`: an attempt failed, or its time was up; `next_attempt_at` says whether there will be "
    "another attempt."
)


class ExpandedMessageSerializer(Expanded):
    """Whom a message is for."""

    client = ClientSerializer(
        allow_null=True, read_only=True, help_text="Null once it was deleted."
    )


@extend_schema_serializer(examples=[examples.NEW_MESSAGE, examples.MESSAGE])
class MessageSerializer(StrictSerializer[Message]):
    """One mailing's text on its way to one client. Its status is never set from outside."""

    changing = (EXPANDED,)
    serializer_related_field = IdField
    sender_id = serializers.CharField(
        read_only=True, help_text="The id by which the sender knows it, a number of 64 bits."
    )
    phone_number = serializers.CharField(
        source="known_number",
        read_only=True,
        help_text="The number it goes or went to; empty once that is erased.",
    )
    error_code = ErrorCodeField(help_text="Why the last attempt, or the message, failed.")
    client = IdField(
        queryset=Client.objects.all(),
        is_clearable=True,
        help_text="Whom it is for; null once that client was deleted.",
    )
    expanded = ExpandedMessageSerializer(
        help_text="The client, as `clients/{id}/` shows it; there only with `expand=client`."
    )

    class Meta:
        model = Message
        fields = (
            "id",
            "sender_id",
            "mailing",
            "client",
            "status",
            "created_at",
            "sent_at",
            "attempts",
            "next_attempt_at",
            "error_code",
            "error",
            "text_version",
            "phone_number",
            "is_manual",
            EXPANDED,
        )
        read_only_fields = ("sender_id", *fields[4:])
        extra_kwargs: ClassVar = {
            "mailing": {"help_text": "Whose text it is."},
            "status": {"help_text": STATUS},
        }

    def create(self, validated_data: dict[str, Any]) -> Message:
        """Add the client to the mailing by hand."""
        return services.add_message(**validated_data, now=clock.now())

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
        return services.move_message(instance, mailing=mailing, client=client, now=clock.now())


@extend_schema_serializer(examples=[examples.ATTEMPT])
class AttemptSerializer(serializers.ModelSerializer[Attempt]):
    """One attempt at handing a message to the sender."""

    error_code = ErrorCodeField(help_text="Why it failed; empty when the sender accepted it.")

    class Meta:
        model = Attempt
        fields = (
            "number",
            "began_at",
            "seconds",
            "error_code",
            "http_status",
            "error",
            "is_unclear",
        )
        read_only_fields = fields


class CountsSerializer(serializers.Serializer[Any]):
    """Messages by status; they always add up."""

    pending = serializers.IntegerField()
    success = serializers.IntegerField()
    fail = serializers.IntegerField()  # type: ignore[assignment]  # the metaclass takes it away
    total = serializers.IntegerField()


@extend_schema_serializer(examples=[examples.STATS])
class MessageStatsSerializer(CountsSerializer):
    """Messages by status, and the failed ones by reason."""

    error_codes = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="By `error_code`; those that nothing failed with are left out.",
    )
