"""Sending control over REST: the operator's pause and rate, the breaker, and health."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from django.conf import settings
from django.db import transaction
from drf_spectacular.utils import (
    OpenApiExample,
    extend_schema,
    extend_schema_field,
    extend_schema_serializer,
    extend_schema_view,
)
from rest_framework import serializers
from rest_framework.generics import RetrieveUpdateAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from messages_app.models import SendingControl
from messages_app.sending import control, health, home
from toolkit import clock
from toolkit.publishing import publish
from toolkit.rest.fields import StrictBooleanField, StrictCharField
from toolkit.rest.permissions import needs
from toolkit.rest.schema import meanings_of
from toolkit.rest.serializers import StrictSerializer
from toolkit.rest.views import SafeWrites


class RateField(serializers.FloatField):
    """Messages a second: a number, and neither a text nor true."""

    default_error_messages: ClassVar = {
        "invalid": f"Write messages a second, from {control.LOWEST_RATE:g} to "
        f"{control.HIGHEST_RATE:.0f}, or null for no limit."
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=control.LOWEST_RATE, max_value=control.HIGHEST_RATE, **kwargs)

    def to_internal_value(self, data: Any) -> float:
        """Return the messages a second.

        Raises:
            ValidationError: it is not a number, or beyond the limits.
        """
        # Compared before float(), which fails for integers that are too large for it.
        is_number = type(data) in (int, float)
        if not is_number or not control.LOWEST_RATE <= data <= control.HIGHEST_RATE:
            self.fail("invalid")
        return float(data)


class BreakerSerializer(serializers.ModelSerializer[SendingControl]):
    """The breaker: it stops sending after failures in a row, or once our token is refused."""

    state = serializers.SerializerMethodField(help_text=meanings_of(health.BreakerState))

    class Meta:
        model = SendingControl
        fields = ("state", "failures", "opened_at", "reason", "probe_at")
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=health.BreakerState.choices))
    def get_state(self, row: SendingControl) -> str:
        """Return what the breaker lets through now."""
        return health.breaker(row, clock.now())


class SignOfLifeSerializer(serializers.Serializer[Any]):
    """When a part of the program was last seen at work."""

    at = serializers.DateTimeField(allow_null=True, help_text="Null if it never was.")
    age = serializers.FloatField(allow_null=True, help_text="Seconds since then.")


class SignsOfLifeSerializer(serializers.Serializer[Any]):
    """The last heartbeats of the parts that must be alive for messages to go out."""

    beat = SignOfLifeSerializer(help_text="The clock that starts everything else.")
    start_mailing = SignOfLifeSerializer(help_text="What starts mailings and plans messages.")
    send_message = SignOfLifeSerializer(help_text="What sends them.")


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "The sender is down",
            value={
                "is_paused": False,
                "pause_reason": "",
                "paused_by": None,
                "paused_at": None,
                "rate": 50.0,
                "rate_limit": 50.0,
                "breaker": {
                    "state": "open",
                    "failures": 20,
                    "opened_at": "2030-01-31T06:00:00.120000Z",
                    "reason": "HTTP 503: Service Unavailable",
                    "probe_at": "2030-01-31T06:00:32.120000Z",
                },
                "is_idempotent": True,
                "heartbeats": {
                    "beat": {"at": "2030-01-31T06:00:11.700000Z", "age": 1.3},
                    "start_mailing": {"at": "2030-01-31T05:59:42Z", "age": 31.0},
                    "send_message": {"at": "2030-01-31T06:00:10.400000Z", "age": 2.6},
                },
                "restored_at": None,
                "held_until": None,
            },
            response_only=True,
        ),
        OpenApiExample(
            "Pause all sending",
            value={"is_paused": True, "pause_reason": "The text is wrong"},
            request_only=True,
        ),
        OpenApiExample(
            "Go on, at most five messages a second",
            value={"is_paused": False, "rate": 5},
            request_only=True,
        ),
        OpenApiExample("Take the limit back", value={"rate": None}, request_only=True),
    ]
)
class SenderSerializer(StrictSerializer[SendingControl]):
    """What holds sending back, over all mailings and workers; messages stay pending meanwhile."""

    changing = ("breaker", "heartbeats")
    is_paused = StrictBooleanField(
        help_text="The operator's pause: nothing is sent until it is taken back."
    )
    pause_reason = StrictCharField(
        max_length=200,
        allow_blank=True,
        help_text="Why it is paused, for colleagues: given with `is_paused` or while it is true. "
        "Empty where nobody gave a reason.",
    )
    paused_by = serializers.SerializerMethodField(
        help_text="Name of the user who paused it; null where nobody did, or no user."
    )
    paused_at = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="Since when it is paused; null if it is not."
    )
    rate = RateField(
        allow_null=True,
        help_text="Messages a second over all workers together, as the operator wants it; null "
        "for no limit.",
    )
    rate_limit = serializers.SerializerMethodField(
        help_text="Messages a second that are kept to: the lower one of `rate` and the setting "
        "MESSAGE_SENDER_RATE; null where there is neither."
    )
    breaker = BreakerSerializer(source="*", read_only=True)
    is_idempotent = serializers.SerializerMethodField(
        help_text="Whether the sender drops a repeated id (MESSAGE_SENDER_IDEMPOTENT). If not, "
        "unclear outcomes are held as `unconfirmed` until somebody confirms or resends them."
    )
    heartbeats = serializers.SerializerMethodField(help_text="Heartbeats, by part.")
    restored_at = serializers.SerializerMethodField(
        help_text="For a day: when the database was found to be a copy, or restored. If its "
        "original still runs, stop one of the two. Normally null."
    )
    held_until = serializers.SerializerMethodField(
        help_text="Nothing is sent, because this database is a copy and its original is at work on "
        "the same broker: until then at least, and for longer while it is. Normally null."
    )

    class Meta:
        model = SendingControl
        fields = (
            *("is_paused", "pause_reason", "paused_by", "paused_at", "rate", "rate_limit"),
            *("breaker", "is_idempotent", "heartbeats", "restored_at", "held_until"),
        )

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_paused_by(self, row: SendingControl) -> str | None:
        """Return the name of the user who paused sending."""
        return row.paused_by or None

    @extend_schema_field(serializers.FloatField(allow_null=True))
    def get_rate_limit(self, row: SendingControl) -> float | None:
        """Return the messages a second that are kept to; None means no limit."""
        return control.effective_rate(row)

    def get_is_idempotent(self, row: SendingControl) -> bool:
        """Return the setting MESSAGE_SENDER_IDEMPOTENT."""
        return bool(settings.MESSAGE_SENDER_IDEMPOTENT)

    @extend_schema_field(SignsOfLifeSerializer)
    def get_heartbeats(self, row: SendingControl) -> dict[str, dict[str, object]]:
        """Return {component: time of its last heartbeat, and its age in seconds}."""
        return {
            sign.name: {"at": sign.at, "age": sign.seconds}
            for sign in health.component_health(clock.now())
        }

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_restored_at(self, row: SendingControl) -> datetime | None:
        """Return when the database was found to be a copy or restored, for a day."""
        return home.restored_at(clock.now())

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_held_until(self, row: SendingControl) -> datetime | None:
        """Return until when the original holds this copy back at least."""
        return row.held_until if control.is_held_back(row, clock.now()) else None

    def update(self, instance: SendingControl, validated_data: dict[str, Any]) -> SendingControl:
        """Set the pause, the rate or both."""
        return control.change(**validated_data)


class OneSender(SafeWrites[SendingControl]):
    """What holds all sending back, of which there is one row."""

    serializer_class = SenderSerializer
    is_single = True

    def get_object(self) -> SendingControl:
        """Return the one row, locked if it is to be changed."""
        rows: Any = self.locked(SendingControl.objects.all())
        row: SendingControl = rows.current()
        self.check_precondition(row)
        return row

    def shown(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out how old a heartbeat is, but not whether it is missing."""
        ages = {name: sign["age"] for name, sign in data["heartbeats"].items()}
        limit = health.MISSING_AFTER.total_seconds()
        missing = {name: age is None or age >= limit for name, age in ages.items()}
        return {**super().shown(data), "heartbeats": missing}


@extend_schema_view(
    get=extend_schema(
        summary="Show what holds sending back",
        description="The operator's pause, the rate, the breaker, and which parts of the program "
        "are alive. Sending goes on by itself when none of them holds it.",
    ),
    patch=extend_schema(
        summary="Pause sending, go on, or change the rate",
        description="A pause holds for all mailings and workers within a second, however slow the "
        "sender is, and until it is changed again. Requests that are open arrive; everything else "
        "stays pending, and no attempt is lost. Who paused it, since when and why is told here and "
        "on every page of the console.",
    ),
)
@extend_schema(tags=["sender"])
class SenderView(OneSender, RetrieveUpdateAPIView[SendingControl]):
    """What holds all sending back, to be shown and changed."""

    needs = needs(SendingControl)
    http_method_names = ("get", "patch", "head", "options")  # and no PUT

    def perform_update(self, serializer: BaseSerializer[SendingControl]) -> None:
        """Set the pause, the rate or both, and start sending at once where it is allowed."""
        serializer.save()
        transaction.on_commit(partial(publish, "send_message"))


@extend_schema(tags=["sender"])
class ProbeView(OneSender):
    """The breaker's next probe."""

    needs = needs(SendingControl, post="change")

    @extend_schema(summary="Try the sender now", request=None)
    def post(self, request: Request) -> Response:
        """Have the breaker let the next due message through at once, whenever its turn would be.

        If the sender takes it, sending goes on; if not, the breaker waits again. 409 if the
        breaker is closed or sending is paused.
        """
        self.get_object()
        row = control.probe_now(now=clock.now())
        transaction.on_commit(partial(publish, "send_message"))
        return Response(self.get_serializer(row).data)
