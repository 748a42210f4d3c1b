"""The endpoints of imports: uploading a file of clients, and what became of it."""

from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError as Refusal
from django.http.response import HttpResponseBase
from django.urls import reverse
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_serializer,
    extend_schema_view,
)
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from clients.imports.importing import OURS
from clients.imports.uploads import rejected_rows, start_import
from clients.models import ClientImport
from toolkit.rest.errors import TooLarge
from toolkit.rest.filters import WalkedFilterSet, choices
from toolkit.rest.permissions import needs, require
from toolkit.rest.streams import CSV, ExportView, described, stream
from toolkit.rest.views import SafeWrites

AROUND = 64 * 1024  # bytes of a form besides its file

IMPORT = OpenApiExample(
    "An import that is under way",
    value={
        "id": 7,
        "status": "running",
        "file_name": "clients.csv",
        "on_known": "update",
        "rows": 120_000,
        "done": 40_000,
        "created": 39_000,
        "updated": 700,
        "unchanged": 250,
        "rejected": 50,
        "error": "",
        "created_at": "2030-01-30T12:00:00.120000Z",
        "started_at": "2030-01-30T12:00:00.900000Z",
        "finished_at": None,
    },
    response_only=True,
    status_codes=["200", "202"],
)


@extend_schema_serializer(examples=[IMPORT])
class ImportSerializer(serializers.ModelSerializer[ClientImport]):
    """The import of a file, and how far it is."""

    class Meta:
        model = ClientImport
        fields = (
            *("id", "status", "file_name", "on_known"),
            *("rows", "done", "created", "updated", "unchanged", "rejected", "error"),
            *("created_at", "started_at", "finished_at"),
        )
        read_only_fields = fields
        extra_kwargs: ClassVar = {
            "error": {"help_text": "Why it failed, and what can be done; otherwise empty."}
        }


class NewImportSerializer(serializers.Serializer[Any]):
    """A file to be imported."""

    file = serializers.FileField(
        max_length=255,
        help_text="CSV in UTF-8, or XLSX (its first sheet, up to 200,000 rows). The first row "
        "names the columns: phone_number, and any of operator_code, tag, timezone, "
        "external_id.",
    )
    on_known = serializers.ChoiceField(
        choices=ClientImport.OnKnown.choices,
        required=False,
        help_text="What happens to clients whose number is known: `update`, which is what happens "
        "without it, sets what the file has columns for, also to nothing where a cell is empty; "
        "`skip` leaves them as they are.",
    )

    def to_internal_value(self, data: Any) -> Any:
        """Return the values; refuse unknown fields."""
        if unknown := sorted(set(data) - set(self.fields)):
            raise ValidationError(
                {unknown[0][:64]: "There is no such field; there are file and on_known."},
                code="unknown_field",
            )
        return super().to_internal_value(data)


class ImportFilterSet(WalkedFilterSet):
    """By status."""

    status = choices(ClientImport.Status, help_text="How far it is.")

    class Meta:
        model = ClientImport
        fields = ("status",)


@extend_schema_view(
    list=extend_schema(summary="List imports"), retrieve=extend_schema(summary="Show an import")
)
@extend_schema(tags=["imports"])
class ImportViewSet(SafeWrites[ClientImport], ReadOnlyModelViewSet[ClientImport]):
    """Files of clients that were uploaded. They are kept for some weeks (setting JOB_DAYS)."""

    queryset = ClientImport.objects.started()
    needs: ClassVar = {
        **needs(ClientImport),
        "create": ("clients.add_clientimport", "clients.add_client"),
        "create_updating": ("clients.change_client",),
    }
    serializer_class = ImportSerializer
    filterset_class = ImportFilterSet
    parser_classes = (MultiPartParser,)
    lookup_value_converter = "int"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse a file that is too large before it is read.

        Raises:
            TooLarge: it is.
        """
        limit = settings.IMPORT_MAX_MB * 1024 * 1024
        if int(request.META.get("CONTENT_LENGTH") or 0) > limit + AROUND:
            raise TooLarge(
                f"The file has more than {settings.IMPORT_MAX_MB} MB. Split it, or leave out "
                "columns that are not needed."
            )
        super().initial(request, *args, **kwargs)

    @extend_schema(
        summary="Import a file of clients",
        request={"multipart/form-data": NewImportSerializer},
        responses={202: ImportSerializer},
        parameters=[
            OpenApiParameter(
                "Location", str, OpenApiParameter.HEADER, response=[202],
                description="Where to ask how far it is.",
            )
        ],
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        """Upload a file of clients, which is imported in the background.

        Ask for the import (`Location`) until it is `finished` or `failed`. Of rows with the same
        number the last one wins. Rows that are wrong are left out and can be had as a file, which
        can be corrected and uploaded as it is. A file may have any number of rows, and as many
        megabytes as the setting IMPORT_MAX_MB says. With `update`, which is what happens without a
        word, you need `clients.change_client`, too.
        """
        form = NewImportSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        on_known = form.validated_data.get("on_known", ClientImport.OnKnown.UPDATE)
        if on_known == ClientImport.OnKnown.UPDATE:
            require(request, self.needs["create_updating"])
        try:
            job = start_import(form.validated_data["file"], on_known=on_known, user=request.user)
        except Refusal as error:
            raise ValidationError({"file": error.messages}, code=error.code) from None
        where = reverse("clientimport-detail", args=[job.pk])
        return Response(self.get_serializer(job).data, status=202, headers={"Location": where})


@described(
    CSV,
    operation_id="imports_rejected_csv",
    summary="Show the rows of an import that were rejected",
    description="Rows as they were in the file, with their line and the reason before them. "
    "Correct them and upload this file: its first two columns do not count then.",
    example="line,error,phone_number,tag\r\n"
    "17,phone_number '12345': It is not an international phone number.,12345,vip\r\n",
    tag="imports",
)
class RejectedAsCsv(ExportView[ClientImport]):
    """The rows of an import that could not be saved."""

    queryset = ClientImport.objects.started()
    needs = needs(ClientImport)
    format = CSV
    detail = True

    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer with the rows as a file."""
        job = self.get_object()
        names = [*OURS, *job.columns]
        name = f"import-{job.pk}-rejected"
        return stream(request, CSV, name=name, columns=names, chunks=rejected_rows(job))
