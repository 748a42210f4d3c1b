"""The preview of a mailing over REST: whom it reaches, its text, and what is to be expected."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from clients.audience import validate_filters
from clients.stats import most_frequent
from mailings.api import examples
from mailings.api.fields import FiltersField
from mailings.api.serializers import NewMailingSerializer
from mailings.models import Mailing
from mailings.preview import Preview, preview
from messages_app.sending.pace import Source
from toolkit import clock
from toolkit.rest.fields import MomentField
from toolkit.rest.schema import meanings_of
from toolkit.text_parts import GSM_7, NAMED, UCS_2

CAUTIONS = {
    "nobody_matches": "The filters select nobody.",
    "everyone_matches": "They select everyone.",
    "written_to_lately": "So many of the clients were sent something in the last 24 hours.",
    "same_text": "One of the newest 1,000 mailings has the same text, and starts or started in the "
    "last 7 days or later.",
    "costly_characters": "Some characters make it more parts.",
    "stop_time_passed": "The stop time has passed.",
    "starts_at_once": "The start time has passed.",
    "window_never_opens": "For some clients the window is not open once before the stop time.",
    "stop_time_too_early": "Not all are sent to in time.",
    "sending_paused": "All sending is paused.",
    "sending_held": "This database is a copy that waits for its original.",
    "breaker_open": "The sender takes nothing at the moment.",
    "workers_missing": "Parts of the program were not seen for minutes.",
    "rate_assumed": "The rate is neither measured nor limited.",
    "sender_shared": "Other running mailings have messages waiting.",
}
CODES = "\n".join(f"* `{code}` - {sentence}" for code, sentence in CAUTIONS.items())


@extend_schema_serializer(examples=[examples.PREVIEWED])
class PreviewedMailingSerializer(NewMailingSerializer):
    """A mailing as far as it is written."""

    start_time = MomentField(required=False, help_text="Without it, now.")
    stop_time = MomentField(required=False, help_text="Without it, sending goes on to the end.")
    filters = FiltersField(
        required=False, validators=[validate_filters], help_text="Without them, everyone."
    )

    class Meta(NewMailingSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (
            *("start_time", "stop_time", "window_start", "window_end", "text", "filters"),
            "status",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = ()
        extra_kwargs: ClassVar = {
            "text": {"required": False, "allow_blank": True, "help_text": "Empty: none yet."}
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Apply the rules of mailings to what there is."""
        super().validate({**attrs, "text": attrs.get("text") or "none yet"})
        return attrs


def _numbers(help_text: str) -> serializers.DictField:
    return serializers.DictField(child=serializers.IntegerField(), help_text=help_text)


class AudienceSerializer(serializers.Serializer[Any]):
    """How many clients the filters select now."""

    total = serializers.IntegerField()
    is_estimate = serializers.BooleanField(
        help_text="A sample was counted and scaled up: of a mailing that resends what failed, or "
        "where operator code, tag and zone of clients come in more than 100,000 combinations."
    )
    by_timezone = _numbers("By IANA name; of each kind the 1,000 most frequent values.")
    by_operator_code = _numbers("By operator code.")
    by_tag = _numbers("By tag; an empty one stands for none.")
    written_to_lately = serializers.IntegerField(
        help_text="How many were sent something in the last 24 hours; of more than some thousand "
        "clients it is estimated from some of them."
    )


class TextSerializer(serializers.Serializer[Any]):
    """What a phone network makes of the text."""

    encoding = serializers.ChoiceField(choices=[GSM_7, UCS_2])
    characters = serializers.IntegerField()
    units = serializers.IntegerField(help_text="Septets of GSM-7, or 16 bits each of UCS-2.")
    parts = serializers.IntegerField(
        help_text="160 septets or 70 units fit into one message; of several parts, 153 or 67 each."
    )
    forces_ucs2 = serializers.ListField(
        child=serializers.CharField(trim_whitespace=False),
        help_text=f"The characters that GSM-7 does not have, {NAMED} at most.",
    )
    parts_without = serializers.IntegerField(
        help_text="How many parts it would be with others in their place."
    )


class ReasonsSerializer(serializers.Serializer[Any]):
    """Why clients would not be sent to."""

    too_late = serializers.IntegerField(help_text="The time is too short at this rate.")
    window_never_opens = serializers.IntegerField(
        help_text="The window is not open once before the stop time, by their local time."
    )


class ForecastSerializer(serializers.Serializer[Any]):
    """What is to be expected, if every message is accepted at once and sending is not held back."""

    deliverable = serializers.IntegerField(help_text="How many are sent to before the stop time.")
    undeliverable = serializers.IntegerField()
    reasons = ReasonsSerializer()
    finishes_at = serializers.DateTimeField(
        allow_null=True, help_text="When the last one is sent. Null where there is none."
    )
    rate_needed = serializers.FloatField(
        allow_null=True,
        help_text="Messages a second at which none would be too late; null without a stop time, "
        "and where no rate would do.",
    )
    rate = serializers.FloatField(help_text="Messages a second that it is reckoned with.")
    rate_source = serializers.ChoiceField(choices=Source.choices, help_text=meanings_of(Source))
    ahead = serializers.IntegerField(
        help_text="Messages of other running mailings that wait. They share the sender, and count "
        "as sent before all of this one's: it is done by then at the latest."
    )


class CautionSerializer(serializers.Serializer[Any]):
    """Something to know before it is sent."""

    code = serializers.CharField(help_text=f"For programs; there may be new ones.\n\n{CODES}")
    detail = serializers.CharField(help_text="The same in words.")


@extend_schema_serializer(examples=[examples.PREVIEW])
class PreviewSerializer(serializers.Serializer[Any]):
    """What a mailing would come to."""

    audience = AudienceSerializer()
    text = TextSerializer(allow_null=True, help_text="Null where there is none yet.")
    forecast = ForecastSerializer()
    warnings = CautionSerializer(many=True)


class PreviewMixin:
    """The action `preview` of the view of mailings."""

    @extend_schema(
        summary="Preview a mailing",
        request=PreviewedMailingSerializer,
        responses={200: PreviewSerializer},
        filters=False,
    )
    @action(detail=False, methods=["post"], pagination_class=None, filter_backends=[])
    def preview(self, request: Request) -> Response:
        """Tell whom a mailing would reach, what its text comes to, and how many it gets to in time.

        Nothing is saved. It takes the body of a new mailing, of which everything may be missing.
        """
        written = PreviewedMailingSerializer(data=request.data)
        written.is_valid(raise_exception=True)
        values = {name: value for name, value in written.validated_data.items() if name != "status"}
        return Response(_shown(preview(Mailing(**values), now=clock.now())))


def _shown(found: Preview) -> dict[str, Any]:
    audience, text, expected = found.audience, found.text, found.forecast
    return {
        "audience": {
            "total": audience.total,
            "is_estimate": audience.is_estimate,
            "by_timezone": most_frequent(audience.by("timezone")),
            "by_operator_code": most_frequent(audience.by("operator_code")),
            "by_tag": most_frequent(audience.by("tag")),
            "written_to_lately": found.written_lately,
        },
        "text": text
        and {
            "encoding": text.encoding,
            "characters": text.characters,
            "units": text.units,
            "parts": text.parts,
            "forces_ucs2": text.forcing,
            "parts_without": text.parts_without,
        },
        "forecast": {
            "deliverable": expected.deliverable,
            "undeliverable": expected.too_late + expected.shut_out,
            "reasons": {
                "too_late": expected.too_late,
                "window_never_opens": expected.shut_out,
            },
            "finishes_at": expected.finishes_at,
            "rate_needed": expected.rate_needed,
            "rate": found.pace.rate,
            "rate_source": found.pace.source,
            "ahead": found.ahead,
        },
        "warnings": [caution._asdict() for caution in found.cautions],
    }
