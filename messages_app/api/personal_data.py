"""What is kept of one client over REST: all of it told, or erased.

Here and not with clients, because it reaches their messages.
"""

from typing import Any, ClassVar

from django.db.models import Prefetch
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clients.api.examples import CLIENT
from clients.api.serializers import ClientSerializer
from clients.models import Client
from messages_app.api.examples import MESSAGE
from messages_app.api.serializers import AttemptSerializer, MessageSerializer
from messages_app.erasing import erase_client
from messages_app.models import Message
from toolkit.history.models import Entry
from toolkit.rest.choosing import EXPANDED
from toolkit.rest.history import ENTRY, EntrySerializer
from toolkit.rest.permissions import needs
from toolkit.rest.views import SafeWrites


class MessageWithAttemptsSerializer(MessageSerializer):
    """A message with the log of its attempts."""

    attempts_log = AttemptSerializer(source="attempt_log", many=True, read_only=True)

    class Meta:
        model = Message
        fields = (
            *(name for name in MessageSerializer.Meta.fields if name != EXPANDED),
            "attempts_log",
        )
        read_only_fields = fields


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "One message that arrived",
            value={
                "client": CLIENT.value,
                "messages": [{**MESSAGE.value, "attempts_log": []}],
                "history": [ENTRY.value],
            },
            response_only=True,
        )
    ]
)
class ClientExportSerializer(serializers.Serializer[Client]):
    """Everything that is kept of one client."""

    client = ClientSerializer(source="*")
    messages = MessageWithAttemptsSerializer(many=True)
    history = serializers.SerializerMethodField()

    @extend_schema_field(EntrySerializer(many=True))
    def get_history(self, client: Client) -> Any:
        """Return what was done to the client."""
        return EntrySerializer(Entry.objects.of(f"clients/{client.pk}"), many=True).data


@extend_schema(tags=["clients"])
class ExportClientView(SafeWrites[Client]):
    """Tells everything about a client."""

    queryset = Client.objects.prefetch_related(
        Prefetch("messages", Message.objects.with_sender_id()), "messages__attempt_log"
    )
    serializer_class = ClientExportSerializer
    needs: ClassVar = {
        **needs(Client),
        "get": (*needs(Client)["get"], *needs(Message)["get"]),
    }

    @extend_schema(summary="Tell everything about a client")
    def get(self, request: Request, pk: int) -> Response:
        """Return a client, its messages with all their attempts, and its history.

        For whoever asks what you keep of them. It is one answer, for a client has few messages.
        """
        return Response(self.get_serializer(self.get_object()).data)


@extend_schema(tags=["clients"])
class EraseClientView(SafeWrites[Client]):
    """Forgets a client."""

    queryset = Client.objects.all()
    serializer_class = ClientSerializer
    needs = needs(Client, post="erase")

    @extend_schema(
        summary="Erase a client everywhere",
        request=None,
        responses={204: OpenApiResponse(description="Nothing tells any more who it was.")},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Delete a client, and its number wherever that is kept.

        Its messages stay without a number, so that all counts stay true; those that were never
        handed to the sender are withdrawn, and none is tried again. History tells that it was
        erased, and nothing of it. What is not reached: rows that an import has rejected, until
        that is deleted after JOB_DAYS, and backups. It cannot be taken back. 409 with Retry-After
        while a message to it is on its way.
        """
        erase_client(self.get_object())
        return Response(status=204)
