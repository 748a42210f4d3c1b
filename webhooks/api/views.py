"""The endpoints of webhooks."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ModelViewSet

from toolkit import clock
from toolkit.rest.filters import check_parameters
from toolkit.rest.idempotency.models import SecretResponse
from toolkit.rest.permissions import needs
from toolkit.rest.views import SafeWrites
from webhooks import services
from webhooks.api.serializers import (
    DeliverySerializer,
    WebhookSerializer,
    WebhookWithSecretSerializer,
)
from webhooks.models import Delivery, Webhook


@extend_schema_view(
    list=extend_schema(summary="List webhooks"),
    retrieve=extend_schema(summary="Show a webhook"),
    update=extend_schema(summary="Replace a webhook"),
    partial_update=extend_schema(
        summary="Change a webhook",
        description="With `is_active: true`, one that was disabled goes on where it stopped.",
    ),
    destroy=extend_schema(
        summary="Delete a webhook",
        description="It is called no more. A call that is under way still arrives.",
    ),
)
@extend_schema(tags=["webhooks"])
class WebhookViewSet(SafeWrites[Webhook], ModelViewSet[Webhook]):
    """Addresses that are told what happens here. How to receive it: docs/webhooks.md."""

    queryset = Webhook.objects.present()
    needs = needs(
        Webhook, deliveries="view", **dict.fromkeys(("rotate", "test", "redeliver"), "change")
    )
    serializer_class = WebhookSerializer
    lookup_value_converter = "int"
    untagged = ("secret",)

    @extend_schema(
        summary="Add a webhook",
        request=WebhookSerializer,
        responses={201: WebhookWithSecretSerializer},
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Have events posted to an address from now on; the answer has the secret, this once."""
        wanted = self.get_serializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        webhook = Webhook(**wanted.validated_data)
        return self._with_secret(webhook, services.add_webhook(webhook), status=201)

    def perform_destroy(self, instance: Webhook) -> None:
        """Delete a webhook; its deliveries are cleared away afterwards."""
        services.delete_webhook(instance, now=clock.now())

    @extend_schema(
        summary="Give a webhook a new secret",
        request=None,
        responses={200: WebhookWithSecretSerializer},
    )
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: int) -> Response:
        """Make a new secret; the answer has it, this once.

        For 24 hours calls are signed with both, so that the receiver can be given the new one in
        between. After a second rotation within them, the first secret of all signs no more.
        """
        webhook = self.get_object()
        return self._with_secret(webhook, services.rotate_secret(webhook, now=clock.now()))

    @extend_schema(
        summary="Send a webhook a test event", request=None, responses={202: DeliverySerializer}
    )
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: int) -> Response:
        """Post an event `webhook.test` that means nothing. 409 if the webhook is not active.

        What came of it is in the list of deliveries a moment later.
        """
        delivery = services.try_webhook(self.get_object(), now=clock.now())
        return Response(DeliverySerializer(delivery).data, status=202)

    @extend_schema(
        summary="List what was posted to a webhook", responses=DeliverySerializer(many=True)
    )
    @action(detail=True)
    def deliveries(self, request: Request, pk: int) -> Response:
        """Show every delivery, the newest first, and how its last attempt went.

        Those that are finished are kept for WEBHOOKS_LOG_DAYS.
        """
        check_parameters(request.query_params, known={"cursor", "page_size"})
        rows: Any = self.get_object().deliveries.all()  # of another model than the view's
        page = self.paginate_queryset(rows) or []
        return self.get_paginated_response(DeliverySerializer(page, many=True).data)

    @extend_schema(
        summary="Post a delivery once more", request=None, responses={202: DeliverySerializer}
    )
    @action(detail=True, methods=["post"], url_path="deliveries/<int:delivery>/redeliver")
    def redeliver(self, request: Request, pk: int, delivery: int) -> Response:
        """Post it now, under the same webhook-id, and then again by the schedule from its start.

        409 if the webhook is not active. A receiver that has had it drops it by its webhook-id.
        """
        webhook = self.get_object()
        rows = Delivery.objects.select_for_update().filter(webhook=webhook)
        found = get_object_or_404(rows, pk=delivery)
        again = services.redeliver(found, webhook, now=clock.now())
        return Response(DeliverySerializer(again).data, status=202)

    def _with_secret(self, webhook: Webhook, secret: str, status: int = 200) -> Response:
        context = {**self.get_serializer_context(), "secret": secret}
        shown = WebhookWithSecretSerializer(webhook, context=context).data
        return SecretResponse(shown, status=status)
