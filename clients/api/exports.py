"""All clients that are selected, as a file."""

from clients.api.filters import ClientFilterSet
from clients.api.serializers import ClientSerializer
from clients.models import Client
from toolkit.rest.permissions import needs
from toolkit.rest.streams import CSV, NDJSON, Chunks, ExportView, described, in_chunks

DESCRIPTION = "The clients that the same parameters select in the list, newest first."


class ClientExport(ExportView[Client]):
    """The fields of clients as REST shows them."""

    queryset = Client.objects.all()
    needs = needs(Client)
    filterset_class = ClientFilterSet
    file_name = "clients"
    columns = ClientSerializer.Meta.fields

    def chunks(self) -> Chunks:
        """Return the selected clients."""
        return in_chunks(self.filter_queryset(self.get_queryset()), self.columns)


@described(
    CSV,
    operation_id="clients_export_csv",
    summary="Export clients as CSV",
    description=DESCRIPTION,
    example="id,phone_number,operator_code,tag,timezone,external_id,created_at,updated_at\r\n"
    "42,79991234567,999,vip,Europe/Moscow,crm-4711,2030-01-30T12:00:00.120000Z,"
    "2030-01-30T12:00:00.120000Z\r\n",
    tag="clients",
)
class ClientsAsCsv(ClientExport):
    """Clients as CSV."""

    format = CSV


@described(
    NDJSON,
    operation_id="clients_export_ndjson",
    summary="Export clients as NDJSON",
    description=DESCRIPTION,
    example='{"id":42,"phone_number":"79991234567","operator_code":"999","tag":"vip",'
    '"timezone":"Europe/Moscow","external_id":"crm-4711",'
    '"created_at":"2030-01-30T12:00:00.120000Z",'
    '"updated_at":"2030-01-30T12:00:00.120000Z"}\n',
    tag="clients",
)
class ClientsAsNdjson(ClientExport):
    """Clients as NDJSON."""

    format = NDJSON
