"""Why a client got a mailing, will get it, or will not."""

from typing import Any, ClassVar

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clients.models import Client
from mailings.api.examples import EXPLANATION
from mailings.explaining import Verdict, explain
from mailings.models import Mailing
from messages_app.api.serializers import AttemptSerializer, MessageSerializer
from toolkit import clock
from toolkit.rest.permissions import Needs, needs
from toolkit.rest.schema import meanings_of
from toolkit.rest.views import SafeWrites

# It shows what other endpoints need these for.
MAY_SEE = ("mailings.view_mailing", "messages_app.view_message", "clients.view_client")


class RuleSerializer(serializers.Serializer[Any]):
    """A condition of being sent to."""

    rule = serializers.CharField(
        help_text="Its name: `operator_code`, `tag`, `timezone` (the filters), `failed_before`, "
        "`not_withdrawn`, `number_not_reached_before`, `not_over`, `time_left`, `launched`, "
        "`planned`, `started`, `mailing_not_paused`, `window_open`, `due`, `sending_not_paused`, "
        "`sending_not_held`, `breaker_closed`. There may be new ones."
    )
    holds = serializers.BooleanField(help_text="Whether it is met now.")
    detail = serializers.CharField(help_text="What is the case, in a sentence.")


@extend_schema_serializer(examples=[EXPLANATION])
class ExplanationSerializer(serializers.Serializer[Any]):
    """Why a client got a mailing, will get it, or will not."""

    verdict = serializers.ChoiceField(choices=Verdict.choices, help_text=meanings_of(Verdict))
    rules = RuleSerializer(
        many=True, help_text="What sending depends on, one by one, as it stands now."
    )
    message = MessageSerializer(allow_null=True, help_text="The message; null: there is none.")
    attempts = AttemptSerializer(
        many=True, help_text="The log of its attempts, the last 100; see messages/{id}/attempts/."
    )
    next = serializers.DateTimeField(
        allow_null=True,
        help_text="When it is sent at the earliest, as far as clocks decide; null where it is "
        "over, is not sent, or waits for somebody.",
    )


class ExplanationView(SafeWrites[Mailing]):
    """A mailing and a client."""

    queryset = Mailing.objects.all()
    needs: ClassVar[Needs] = {**needs(Mailing), "get": MAY_SEE, "head": MAY_SEE}
    serializer_class = ExplanationSerializer
    detail = True

    @extend_schema(
        summary="Say why a client got a mailing, will get it, or will not",
        operation_id="mailings_clients_retrieve",
        tags=["mailings"],
    )
    def get(self, request: Request, pk: int, client_id: int) -> Response:
        """Look at each rule that sending depends on, for this mailing and this client.

        Of a message that was sent, or has failed for good, the rules say how things stand now and
        not how they stood then.
        """
        client = get_object_or_404(Client, pk=client_id)
        found = explain(self.get_object(), client, now=clock.now())
        return Response(ExplanationSerializer(found).data)
