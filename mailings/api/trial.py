"""A test message of a mailing over REST."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from clients.api.fields import PhoneNumberField
from mailings import services
from mailings.api import examples
from messages_app.models import ErrorCode
from messages_app.sending.trial import Outcome, send_trial
from toolkit import clock
from toolkit.rest.schema import meanings_of


@extend_schema_serializer(examples=[examples.TEST])
class TrialSerializer(serializers.Serializer[Any]):
    """To whom a test message goes."""

    phone_number = PhoneNumberField(
        max_length=32, help_text="International, as that of a client; it need not be one."
    )


@extend_schema_serializer(examples=[examples.TESTED])
class TrialAnswerSerializer(serializers.Serializer[Any]):
    """What the sender said to a test message."""

    outcome = serializers.ChoiceField(choices=Outcome.choices, help_text=meanings_of(Outcome))
    http_status = serializers.IntegerField(
        allow_null=True, help_text="Null where there was no answer."
    )
    error_code = serializers.ChoiceField(
        choices=ErrorCode.choices, allow_blank=True, help_text="Empty if it was accepted."
    )
    error = serializers.CharField(help_text="The sender's words, without secrets and numbers.")
    seconds = serializers.FloatField(help_text="How long it took.")
    sender_id = serializers.CharField(
        help_text="The id that the sender was given: below 0, which that of a message never is."
    )


class TrialMixin:
    """The action `test` of the view of mailings."""

    @extend_schema(
        summary="Send a test message",
        request=TrialSerializer,
        responses={200: TrialAnswerSerializer},
    )
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: int) -> Response:
        """Send a mailing's present text to one number now, and wait for what the sender says.

        Also of a draft, and of a mailing that is over. There is no message of it, and nothing
        counts it. It keeps to the pause, the breaker and the rate (409), and takes no longer than
        MESSAGE_SENDER_TIMEOUT and two seconds. With an Idempotency-Key it is sent once at most; 409
        `outcome_unknown` while the first request is under way.
        """
        wanted = TrialSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        mailing = self.get_object()  # type: ignore[attr-defined]  # of the view
        services.record_trial(mailing, **wanted.validated_data)
        found = send_trial(text=mailing.text, now=clock.now(), **wanted.validated_data)
        return Response({**found._asdict(), "sender_id": str(found.sender_id)})
