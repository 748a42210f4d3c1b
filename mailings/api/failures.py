"""Why messages of a mailing failed, by reason."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from mailings.api.examples import FAILURES
from mailings.failures import failures
from messages_app.models import ErrorCode


class FailureExampleSerializer(serializers.Serializer[Any]):
    """One message that failed for this reason."""

    message = serializers.IntegerField(help_text="Its id.")
    error = serializers.CharField(help_text="Why it failed, in words.")
    http_status = serializers.IntegerField(
        allow_null=True, help_text="Of the sender's last answer; null where there was none."
    )
    at = serializers.DateTimeField(
        allow_null=True, help_text="When that attempt began; null if it was not tried."
    )


class FailureSerializer(serializers.Serializer[Any]):
    """The messages that failed for one reason."""

    error_code = serializers.ChoiceField(choices=ErrorCode.choices, help_text="The reason.")
    messages = serializers.IntegerField(help_text="How many are in `fail` for it now.")
    retrying = serializers.IntegerField(help_text="Of those, how many are tried again.")
    final = serializers.IntegerField(help_text="And how many are not.")
    share = serializers.FloatField(help_text="Of all messages of the mailing, from 0 to 1.")
    first_seen_at = serializers.DateTimeField(
        allow_null=True,
        help_text="When a message first failed for it, by the minute, or by the hour if that is "
        "long ago; null if it is not known.",
    )
    last_seen_at = serializers.DateTimeField(allow_null=True, help_text="And when one last did.")
    example = FailureExampleSerializer(
        allow_null=True,
        help_text="One of them; null if none was found among the first 20,000 looked at.",
    )


@extend_schema_serializer(examples=[FAILURES])
class FailuresSerializer(serializers.Serializer[Any]):
    """The failed messages of a mailing by reason."""

    total = serializers.IntegerField(help_text="All messages of the mailing.")
    messages = serializers.IntegerField(help_text="Those that failed, for whichever reason.")
    results = FailureSerializer(many=True, help_text="The most frequent reason first.")


class FailuresMixin:
    """The action `failures` of the view of mailings."""

    @extend_schema(
        summary="Count a mailing's failed messages by reason",
        responses=FailuresSerializer,
        filters=False,
    )
    @action(detail=True, pagination_class=None)
    def failures(self, request: Request, pk: int) -> Response:
        """Say why messages failed, how many are tried again, and what the sender answered.

        What failed for good can be sent again by reason: POST `mailings/{id}/resend/`.
        """
        view: Any = self
        return Response(FailuresSerializer(failures(view.get_object())).data)
