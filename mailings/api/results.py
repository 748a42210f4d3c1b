"""What became of a mailing's messages, as a file."""

from typing import ClassVar

from django.shortcuts import get_object_or_404

from mailings.models import Mailing
from messages_app.api.filters import ResultFilterSet
from messages_app.models import Message
from messages_app.walks import legs_of_mailing
from toolkit.rest.permissions import Needs, needs
from toolkit.rest.streams import CHUNK, CSV, NDJSON, Chunks, ExportView, described
from toolkit.rest.walking import Walk

DESCRIPTION = (
    "Every message of the mailing, in descending order of clients; those whose client was deleted "
    "come last."
)
MAY_SEE = ("mailings.view_mailing", "messages_app.view_message")


class Results(ExportView[Message]):
    """The messages of one mailing, with the names and values that REST has for them."""

    queryset = Message.objects.all()
    needs: ClassVar[Needs] = {**needs(Mailing), "get": MAY_SEE, "head": MAY_SEE}
    filterset_class = ResultFilterSet
    file_name = "results"
    columns = (
        *("id", "client", "phone_number", "status", "error_code", "error"),
        *("attempts", "sent_at", "next_attempt_at", "text_version", "is_manual"),
    )

    def chunks(self) -> Chunks:
        """Return the selected messages; where few are selected, each statement looks at few."""
        mailing = get_object_or_404(Mailing, pk=self.kwargs["pk"])
        rows = self.filter_queryset(self.get_queryset().filter(mailing=mailing.pk))
        stretches = Walk(rows, list(legs_of_mailing(mailing.pk))).in_stretches(CHUNK)
        return (chunk for each in stretches if (chunk := list(each.values_list(*self.columns))))


@described(
    CSV,
    operation_id="mailings_results_csv",
    summary="Export a mailing's results as CSV",
    description=DESCRIPTION,
    example="id,client,phone_number,status,error_code,error,attempts,sent_at,next_attempt_at,"
    "text_version,is_manual\r\n"
    "5213,42,79991234567,fail,rejected,HTTP 400: Bad Request,1,,,1,false\r\n",
    tag="mailings",
)
class ResultsAsCsv(Results):
    """Results as CSV."""

    format = CSV


@described(
    NDJSON,
    operation_id="mailings_results_ndjson",
    summary="Export a mailing's results as NDJSON",
    description=DESCRIPTION,
    example='{"id":5213,"client":42,"phone_number":"79991234567","status":"fail",'
    '"error_code":"rejected","error":"HTTP 400: Bad Request","attempts":1,"sent_at":null,'
    '"next_attempt_at":null,"text_version":1,"is_manual":false}\n',
    tag="mailings",
)
class ResultsAsNdjson(Results):
    """Results as NDJSON."""

    format = NDJSON
