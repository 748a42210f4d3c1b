"""The endpoints of messages."""

from functools import partial

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from messages_app import services
from messages_app.api.filters import MessageFilterSet
from messages_app.api.serializers import MessageSerializer, MessageStatsSerializer
from messages_app.models import Message
from messages_app.stats import message_stats
from messages_app.tasks import ring


@extend_schema_view(
    list=extend_schema(summary="List messages"),
    create=extend_schema(
        summary="Add a client to a mailing by hand",
        description="It is sent whatever the mailing's filters say.",
    ),
    retrieve=extend_schema(summary="Show a message"),
    update=extend_schema(
        summary="Address a message anew",
        description="Only before its first attempt; 409 afterwards.",
    ),
    partial_update=extend_schema(summary="Address a message anew, in part"),
    destroy=extend_schema(
        summary="Withdraw a message",
        description="It is never sent, and its client is not planned for this mailing again. "
        "409 if it was sent or is in flight.",
    ),
)
@extend_schema(tags=["messages"])
class MessageViewSet(ModelViewSet[Message]):
    """What became of every message."""

    queryset = Message.objects.all()
    serializer_class = MessageSerializer
    filterset_class = MessageFilterSet
    lookup_value_converter = "int"

    def perform_create(self, serializer: BaseSerializer[Message]) -> None:
        """Add a message and let it go out at once."""
        _ring_on_commit(serializer.save())

    def perform_update(self, serializer: BaseSerializer[Message]) -> None:
        """Address a message anew and let it go out at once."""
        _ring_on_commit(serializer.save())

    def perform_destroy(self, instance: Message) -> None:
        """Withdraw a message."""
        services.withdraw_message(instance, now=timezone.now())

    @extend_schema(summary="Send a failed message again", request=None)
    @action(detail=True, methods=["post"])
    def resend(self, request: Request, pk: int) -> Response:
        """Make a failed message due again, now. 409 unless its mailing runs."""
        message = services.resend_message(self.get_object(), now=timezone.now())
        _ring_on_commit(message)
        return Response(self.get_serializer(message).data)

    @extend_schema(summary="Count messages", responses=MessageStatsSerializer)
    @action(detail=False, pagination_class=None)
    def stats(self, request: Request) -> Response:
        """Count the selected messages by status, and the failed ones by reason."""
        return Response(message_stats(self.filter_queryset(self.get_queryset())))


def _ring_on_commit(message: Message) -> None:
    transaction.on_commit(partial(ring, message.mailing_id))
