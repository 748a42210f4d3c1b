"""Mailings as JSON: their fields, and what is refused."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from clients.audience import validate_filters
from mailings import services
from mailings.api import examples
from mailings.api.fields import DraftField, FiltersField
from mailings.models import Mailing
from mailings.stats import text_change
from messages_app.api.serializers import CountsSerializer
from messages_app.models import ErrorCode
from toolkit import clock
from toolkit.rest.errors import telling_who_has
from toolkit.rest.fields import ExternalIdField, IdField, LocalTimeField, MomentField
from toolkit.rest.serializers import StrictSerializer

ONCE = {"external_id": "There is already a mailing with this external id."}


class TextChangeSerializer(serializers.Serializer[Any]):
    """Whom a change of the text concerns."""

    had_former_text = serializers.IntegerField(help_text="Messages that were sent before.")
    get_new_text = serializers.IntegerField(
        help_text="Messages that are still to be sent; clients who match later come on top."
    )


@extend_schema_serializer(examples=[examples.CHANGED_MAILING, examples.MAILING])
class MailingSerializer(StrictSerializer[Mailing]):
    """One text to every client that its filters select, between two moments."""

    changing = ("last_run_time", "text_change", "approved_at")
    start_time = MomentField(help_text="Sending begins; in the past means at once.")
    stop_time = MomentField(help_text="Nothing is sent from this moment on.")
    window_start = LocalTimeField(
        default=None,
        allow_null=True,
        help_text="A client is sent to from this hour of every day on, by the client's own local "
        "time; null, as `window_end` then is too, is any hour.",
    )
    window_end = LocalTimeField(
        default=None,
        allow_null=True,
        help_text="And until just before this hour; earlier than `window_start`, it is that of "
        "the next morning.",
    )
    filters = FiltersField(
        validators=[validate_filters],
        help_text="Keys operator_code, tag, timezone; a value or a list of values each. Values "
        "are alternatives, keys add up, {} is everyone, and must be said.",
    )
    external_id = ExternalIdField(
        help_text="The id that your program has for it, up to 64 characters; no two mailings have "
        "the same (409 `external_id_taken`). Null: none."
    )

    text_change = serializers.SerializerMethodField(
        help_text="In the answer to a change of the text: whom it concerns. Otherwise null."
    )

    approved_at = serializers.SerializerMethodField(
        help_text="When it was approved as it is; null if it was not, or was changed since."
    )

    resends = IdField(
        read_only=True,
        is_clearable=True,
        help_text="The mailing of which this one sends again what failed for good: only clients of "
        "such messages are sent to, and of those whom the filters select. Null: it resends none.",
    )
    resent_codes = serializers.ListField(
        child=serializers.ChoiceField(choices=ErrorCode.choices),
        read_only=True,
        allow_null=True,
        help_text="Only those that failed for one of these reasons; null: for any.",
    )

    class Meta:
        model = Mailing
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "start_time",
            "stop_time",
            "window_start",
            "window_end",
            "text",
            "filters",
            "status",
            "last_run_time",
            "created_at",
            "updated_at",
            "text_version",
            "text_change",
            "resends",
            "resent_codes",
            "approved_at",
            "external_id",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = ("status", "last_run_time", "text_version")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Apply the model's rules to the mailing as it would be saved."""
        return _by_the_rules(attrs, self.instance)

    def create(self, validated_data: dict[str, Any]) -> Mailing:
        """Save a new mailing."""
        with telling_who_has(Mailing, None, validated_data, ONCE):
            return services.create_mailing(Mailing(**validated_data), now=clock.now())

    def update(self, instance: Mailing, validated_data: dict[str, Any]) -> Mailing:
        """Save what was changed."""
        version = instance.text_version
        for name, value in validated_data.items():
            setattr(instance, name, value)
        with telling_who_has(Mailing, instance, validated_data, ONCE):
            edited = services.edit_mailing(instance, now=clock.now())
        self._text_changed = edited.text_version != version
        return edited

    def get_approved_at(self, mailing: Mailing) -> datetime | None:
        """Return when somebody approved it as it is."""
        return mailing.approved_at if mailing.is_approved else None

    @extend_schema_field(TextChangeSerializer(allow_null=True))
    def get_text_change(self, mailing: Mailing) -> dict[str, int] | None:
        """Return how many have had the former text and how many get the new one."""
        return text_change(mailing) if getattr(self, "_text_changed", False) else None


@extend_schema_serializer(examples=[examples.NEW_MAILING, examples.NEW_DRAFT])
class NewMailingSerializer(MailingSerializer):
    """A mailing that is created, perhaps as a draft."""

    status = DraftField(
        required=False,
        help_text="`draft`: nothing is sent until it is launched. Without it, the mailing starts "
        "by itself.",
    )


def _by_the_rules(attrs: dict[str, Any], mailing: Mailing | None) -> dict[str, Any]:
    """Return what is to be written to a mailing, if the model's rules allow it.

    Raises:
        ValidationError: they do not.
    """
    kept = {name: getattr(mailing or Mailing(), name) for name in services.EDITABLE}
    try:
        Mailing(**{**kept, **attrs}).clean()
    except ValidationError as error:
        raise serializers.ValidationError(serializers.as_serializer_error(error)) from None
    return attrs


@extend_schema_serializer(examples=[examples.TEXT])
class TextVersionSerializer(serializers.Serializer[Any]):
    """A text that a mailing has or had."""

    version = serializers.IntegerField(help_text="As `text_version` of messages says it.")
    text = serializers.CharField()
    replaced_at = serializers.DateTimeField(allow_null=True, help_text="Null: it is the present.")
    accepted = serializers.IntegerField(help_text="Messages that the sender accepted with it.")


class MailingStatsSerializer(serializers.Serializer[Any]):
    """What a mailing's messages have come to."""

    id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=Mailing.Status.choices)
    start_time = serializers.DateTimeField()
    stop_time = serializers.DateTimeField()
    last_run_time = serializers.DateTimeField(allow_null=True)
    stats = CountsSerializer()
    retrying = serializers.IntegerField(
        help_text="How many of those in `fail` are tried again; the others have failed for good."
    )
    is_complete = serializers.BooleanField(
        help_text="Whether all there is to send is sent. Clients who match later may still come."
    )


@extend_schema_serializer(examples=[examples.STATS])
class DetailedStatsSerializer(MailingStatsSerializer):
    """What a mailing's messages have come to, also by reason, text and time zone."""

    error_codes = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="Failed messages by `error_code`, those that are tried again included.",
    )
    text_versions = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="Messages that the sender accepted, by the version of the text they went out "
        "with; 0 is a version that an earlier release did not note.",
    )
    timezones = serializers.DictField(
        child=CountsSerializer(),
        help_text="By IANA name, those with most messages first; `unknown` are messages "
        "that an earlier release planned.",
    )


@extend_schema_serializer(examples=[examples.STATS_PAGE])
class MailingStatsPageSerializer(serializers.Serializer[Any]):
    """A page of mailings' stats, and the totals of all mailings."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    totals = CountsSerializer()
    results = MailingStatsSerializer(many=True)


class ResendSerializer(serializers.Serializer[Any]):
    """Which failed messages are sent again."""

    error_code = serializers.ListField(
        child=serializers.ChoiceField(choices=ErrorCode.choices),
        required=False,
        allow_empty=False,
        help_text="Only those that failed for one of these reasons; all without it.",
    )

    def to_internal_value(self, data: Any) -> Any:
        """Return the values; refuse unknown fields, for with a misspelt one all would be sent."""
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, Mapping) else []
        if unknown:
            raise serializers.ValidationError(
                {
                    unknown[0][:64]: "There is no such field while the mailing is not over; there "
                    "is error_code."
                },
                code="unknown_field",
            )
        return super().to_internal_value(data)


class ResendAsNewSerializer(StrictSerializer[Mailing]):
    """A new mailing, to those to whom a mailing that is over has failed for good."""

    error_code = serializers.ListField(
        source="resent_codes",
        child=serializers.ChoiceField(choices=ErrorCode.choices),
        required=False,
        allow_empty=False,
        help_text="Only those that failed for one of these reasons; all without it.",
    )
    start_time = MomentField(required=False, help_text="Without it, now.")
    stop_time = MomentField(help_text="Nothing is sent from this moment on.")
    window_start = LocalTimeField(
        required=False, allow_null=True, help_text="Without it, that of the other mailing."
    )
    window_end = LocalTimeField(
        required=False, allow_null=True, help_text="Without it, that of the other mailing."
    )

    class Meta:
        model = Mailing
        fields = ("error_code", "start_time", "stop_time", "window_start", "window_end", "text")
        extra_kwargs: ClassVar = {
            "text": {
                "required": False,
                "help_text": "Without it, that of the other mailing.",
            }
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Apply the model's rules to the mailing as it would be saved."""
        return _by_the_rules(attrs, self.instance)

    def update(self, instance: Mailing, validated_data: dict[str, Any]) -> Mailing:
        """Save the new mailing, given its draft."""
        for name, value in validated_data.items():
            setattr(instance, name, value)
        return services.create_mailing(instance, now=clock.now())


@extend_schema_serializer(examples=[examples.RESENT])
class ResentSerializer(serializers.Serializer[Any]):
    """How many messages are sent again."""

    messages = serializers.IntegerField(
        help_text="How many have failed for these reasons; they become due one after the other. "
        "Those whose client was deleted are among them, and are not sent."
    )


@extend_schema_serializer(examples=[examples.CONFIRMED])
class ConfirmedSerializer(serializers.Serializer[Any]):
    """How many messages are confirmed."""

    messages = serializers.IntegerField(
        help_text="Of how many nobody knew; they become a success one after the other."
    )
