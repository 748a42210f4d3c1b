"""The endpoints of clients."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ModelViewSet

from clients import services, tally
from clients.api.bulk import BulkMixin
from clients.api.filters import ClientFilterSet
from clients.api.serializers import ClientSerializer, ClientStatsSerializer
from clients.audience import KEYS, Filters
from clients.models import Client
from clients.stats import client_stats
from toolkit.rest.counts import CAP, CountMixin
from toolkit.rest.permissions import needs
from toolkit.rest.views import SafeWrites


@extend_schema_view(
    list=extend_schema(summary="List clients"),
    create=extend_schema(summary="Add a client"),
    retrieve=extend_schema(summary="Show a client"),
    update=extend_schema(summary="Replace a client"),
    partial_update=extend_schema(summary="Change a client"),
    destroy=extend_schema(
        summary="Delete a client",
        description="Messages stay, with the number they were sent to; unsent ones never go out.",
    ),
)
@extend_schema(tags=["clients"])
class ClientViewSet(CountMixin, SafeWrites[Client], BulkMixin, ModelViewSet[Client]):
    """Who can be reached."""

    queryset = Client.objects.all()
    needs = needs(Client, stats="view", count="view", bulk="add change")
    serializer_class = ClientSerializer
    filterset_class = ClientFilterSet
    lookup_value_converter = "int"

    def perform_destroy(self, instance: Client) -> None:
        """Delete a client; its messages stay."""
        services.delete_client(instance)

    @extend_schema(summary="Count clients", responses=ClientStatsSerializer)
    @action(detail=False, pagination_class=None)
    def stats(self, request: Request) -> Response:
        """Count the selected clients by operator code, tag and time zone."""
        return Response(client_stats(self.filter_queryset(self.get_queryset()), self._tallied()))

    def count_rows(self, rows: QuerySet[Client]) -> tuple[int, bool]:
        """Return the number of the selected clients, from the tally where it can tell."""
        filters = self._tallied()
        if filters is None:
            return super().count_rows(rows)
        number = tally.number_of(filters)
        return min(number, CAP), number > CAP

    def _tallied(self) -> Filters | None:
        """Return the parameters as a mailing's filters; None if there are others among them."""
        given = dict(self.request.query_params.lists())
        if not set(given) <= set(KEYS):
            return None
        return {key: [value.strip() for value in values] for key, values in given.items()}
