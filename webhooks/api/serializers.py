"""Webhooks and deliveries as JSON."""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from toolkit.rest.fields import StrictCharField
from toolkit.rest.serializers import StrictSerializer
from webhooks import services
from webhooks.addresses import MAX_LENGTH, check_url
from webhooks.api.examples import DELIVERY, NEW_WEBHOOK, WEBHOOK, WEBHOOK_WITH_SECRET
from webhooks.models import Delivery, EventName, Webhook, validate_events


@extend_schema_serializer(examples=[NEW_WEBHOOK, WEBHOOK])
class WebhookSerializer(StrictSerializer[Webhook]):
    """An address that is told what happens here, by a signed POST (Standard Webhooks 1.0.0)."""

    # They change while calls are made.
    changing = ("failing_since", "disabled_at", "disabled_reason", "former_secret_until")
    url = StrictCharField(
        max_length=MAX_LENGTH,
        validators=[check_url],
        help_text="Where events are posted: https, and a public address, unless the setting "
        "WEBHOOKS_ALLOW_PRIVATE says otherwise.",
    )
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=EventName.choices),
        allow_empty=False,
        validators=[validate_events],
        help_text="What it is told; each once.",
    )

    class Meta:
        model = Webhook
        fields: tuple[str, ...] = (
            *("id", "url", "events", "is_active", "created_at", "updated_at"),
            *("failing_since", "disabled_at", "disabled_reason", "former_secret_until"),
        )
        read_only_fields = (
            *("failing_since", "disabled_at", "disabled_reason", "former_secret_until"),
        )
        extra_kwargs = {  # noqa: RUF012  # DRF's own way
            "is_active": {
                "help_text": "Whether it is called. One that was disabled goes on where it "
                "stopped once this is true again."
            },
            "failing_since": {"help_text": "Since when no call has succeeded; null: it works."},
            "disabled_at": {
                "help_text": "When it was disabled because calling it was of no use; else null."
            },
            "disabled_reason": {"help_text": "Why; else empty."},
            "former_secret_until": {
                "help_text": "Until when the secret of before the rotation signs as well."
            },
        }

    def update(self, instance: Webhook, validated_data: dict[str, Any]) -> Webhook:
        """Save what was changed."""
        for name, value in validated_data.items():
            setattr(instance, name, value)
        return services.edit_webhook(instance)


@extend_schema_serializer(examples=[NEW_WEBHOOK, WEBHOOK_WITH_SECRET])
class WebhookWithSecretSerializer(WebhookSerializer):
    """A webhook with its secret, which is shown this once."""

    secret = serializers.CharField(
        read_only=True,
        help_text="Signs what is posted. Keep it now: it cannot be read again, only replaced.",
    )

    class Meta(WebhookSerializer.Meta):
        fields = (*WebhookSerializer.Meta.fields, "secret")

    def to_representation(self, instance: Webhook) -> dict[str, Any]:
        """Return it with the secret that was just made, which the view has put into `context`."""
        shown = super().to_representation(instance)
        return {**shown, "secret": self.context["secret"]}


@extend_schema_serializer(examples=[DELIVERY])
class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """What was, or is still to be, posted to a webhook, and how its last attempt went."""

    class Meta:
        model = Delivery
        fields = (
            *("id", "message_id", "event", "at", "number", "state", "attempts", "attempted_at"),
            *("status_code", "duration", "error", "next_attempt_at"),
        )
        read_only_fields = fields
        extra_kwargs = {  # noqa: RUF012  # DRF's own way
            "message_id": {"help_text": "The header webhook-id, the same in every attempt."},
            "event": {"help_text": "What it tells of; webhook.test for one that was asked for."},
            "at": {"help_text": "When that happened."},
            "number": {"help_text": "Changes of messages in it; 0 for other events."},
            "state": {
                "help_text": "pending: it is to be posted; delivered: a 2xx came; failed: it was "
                "given up."
            },
            "attempts": {"help_text": "Attempts since it was made, or redelivered."},
            "attempted_at": {"help_text": "When the last attempt ended; null before the first."},
            "status_code": {"help_text": "What the receiver answered; null if nothing."},
            "duration": {"help_text": "Seconds that the last attempt took."},
            "error": {"help_text": "Why the last attempt was no success; else empty."},
            "next_attempt_at": {"help_text": "When it is tried next; null once it is finished."},
        }
