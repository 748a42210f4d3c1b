"""The console's pages of clients."""

from collections.abc import Sequence
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import DropdownFilter
from unfold.widgets import UnfoldAdminSelect2Widget

from clients import services
from clients.admin.changes import ASKED, ChangesAll, allowed_to
from clients.admin.imports import MAY_IMPORT
from clients.finding import values_from
from clients.models import Client
from toolkit import time_zones
from toolkit.console.admin import ConsoleForm
from toolkit.console.labels import format_minute, format_number
from toolkit.console.lists import ExactFilter
from toolkit.rest.streams import CSV, TooManyStreams, in_chunks, stream

SUGGESTED = ("operator_code", "tag")
LOOK_UPS = 50  # values of a field that are read for suggestions
SUGGESTIONS = 20  # of them that are shown
COUNTED = 10_000  # clients with each of these


class OperatorCodeFilter(ExactFilter):
    """Clients of one operator."""

    title = _("operator code")
    parameter_name = "operator_code"


class TagFilter(ExactFilter):
    """Clients with one tag."""

    title = _("tag")
    parameter_name = "tag"


class TimeZoneFilter(DropdownFilter):
    """Clients of one time zone."""

    title = _("time zone")
    parameter_name = "timezone"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return all time zones; those that clients have are not looked up."""
        return [(name, name) for name in sorted(time_zones.names())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Client]) -> QuerySet[Client]:
        """Keep the clients of the chosen zone; an unknown one keeps none."""
        zone = self.value()
        if not zone:
            return queryset
        return queryset.filter(timezone=zone) if zone in time_zones.names() else queryset.none()


class ClientForm(ConsoleForm):
    """A client, with time zones that can be searched."""

    class Meta:
        labels = {  # noqa: RUF012  # Django's own way
            "timezone": _("Time zone"),
            "external_id": _("External id"),
        }
        widgets = {"timezone": UnfoldAdminSelect2Widget}  # noqa: RUF012  # Django's own way

    def clean(self) -> dict[str, Any]:
        """Let the model derive the operator code of a new number, unless it was written too."""
        cleaned = super().clean()
        if "phone_number" in self.changed_data and "operator_code" not in self.changed_data:
            cleaned["operator_code"] = ""
        return cleaned


@admin.register(Client)
class ClientAdmin(ChangesAll):
    """Clients, searched by parts of the number, beginning of the tag, external id: by indexes."""

    form = ClientForm
    new_title = _("New client")
    list_display = ("phone", "operator_code", "tag", "zone", "created", "updated")
    list_before_template = "admin/clients/client/tools.html"
    list_filter = (OperatorCodeFilter, TagFilter, TimeZoneFilter)
    sortable_by = ()  # newest first; no other order has an index on millions of rows
    search_fields = ("phone_number", "tag")
    search_help_text = _(
        "A phone number, its beginning or its last digits, a tag, or an external id"
    )
    fields = (
        *("phone_number", "operator_code", "tag", "timezone", "external_id"),
        *("created", "updated"),
    )
    readonly_fields = ("created", "updated")

    def get_fields(self, request: HttpRequest, obj: Client | None = None) -> tuple[str, ...]:
        """Leave out the times of a client that is not saved yet."""
        return self.fields if obj else self.fields[:-2]

    def search(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Keep clients by parts of their number, the beginning of the tag, or the external id."""
        return queryset.named_by(text) if text else queryset  # type: ignore[attr-defined]

    def save_model(self, request: HttpRequest, obj: Client, form: Any, change: bool) -> None:
        """Save a client through its service."""
        if change:
            values = {name: getattr(obj, name) for name in services.EDITABLE}
            services.edit_client(obj, **values)
        else:
            services.create_client(obj)

    def delete_via_service(self, item: Client) -> None:
        """Delete a client; its messages stay."""
        services.delete_client(item)

    def facts_of_deletion(self, items: Sequence[Client]) -> list[str]:
        """Return what happens to the messages of clients."""
        return [gettext("Messages stay, with the number; those unsent never go out.")]

    @admin.display(description=_("phone number"), ordering="phone_number")
    def phone(self, client: Client) -> str:
        """Show the phone number with its plus sign."""
        return str(client)

    @admin.display(description=_("time zone"))
    def zone(self, client: Client) -> str:
        """Show the zone's name; looking it up among hundreds of choices would be slower."""
        return str(client.timezone)

    @admin.display(description=_("created"))
    def created(self, client: Client) -> str:
        """Show when the client was added."""
        return format_minute(client.created_at)

    @admin.display(description=_("updated"))
    def updated(self, client: Client) -> str:
        """Show when the client was last changed."""
        return format_minute(client.updated_at)

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses of the export, and of the suggestions for a mailing's filters."""
        wrap = self.admin_site.admin_view
        own = [
            path("export.csv", wrap(self.export), name="clients_client_export"),
            path("suggest/<slug:field>/", wrap(self.suggest), name="clients_client_suggest"),
        ]
        return own + list(super().get_urls())

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, with what can be done with all that it finds."""
        query = request.GET.copy()
        query.pop("p", None)  # the page
        address = reverse("admin:clients_client_export")
        context = {
            "may_import": request.user.has_perms(MAY_IMPORT),
            "export_address": f"{address}?{query.urlencode()}" if query else address,
            "change_address": self._change_address(request),
            **(extra_context or {}),
        }
        response: HttpResponse = super().changelist_view(request, context)
        return response

    @staticmethod
    def _change_address(request: HttpRequest) -> str:
        """Return where all that the list finds is changed; "" for those who may not."""
        asked = {name: value for name in ASKED if (value := request.GET.get(name, "").strip())}
        if not allowed_to(request):
            return ""
        return f"{reverse('admin:clients_client_change_all')}?{urlencode(asked)}"

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """Answer with all clients whom the list finds, as REST exports them."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            chunks = in_chunks(self.get_changelist_instance(request).queryset, services.SHOWN)
            return stream(request, CSV, name="clients", columns=services.SHOWN, chunks=chunks)
        except TooManyStreams as refusal:
            self.message_user(request, str(refusal.detail), messages.WARNING)
        except IncorrectLookupParameters:
            pass  # The operator is told already.
        return redirect(reverse("admin:clients_client_changelist"))

    def suggest(self, request: HttpRequest, field: str) -> JsonResponse:
        """Answer with values of a field that begin with the typed text, as JSON for Select2.

        With how many clients have each.
        """
        if field not in SUGGESTED or not self.has_view_permission(request):
            raise PermissionDenied
        typed = request.GET.get("term", "").replace("\0", "")
        values = [
            value
            for value in islice(values_from(field, typed), LOOK_UPS)
            if value.casefold().startswith(typed.casefold())
        ]
        results = [
            {"id": value, "text": value, "number": _number_with(field, value)}
            for value in values[:SUGGESTIONS]
        ]
        return JsonResponse({"results": results})


def _number_with(field: str, value: str) -> str:
    """Return how many clients have a value, as text; of more than COUNTED only that."""
    having = Client.objects.order_by().filter(**{field: value})
    number = having[: COUNTED + 1].count()
    return format_number(number) if number <= COUNTED else f"{format_number(COUNTED)}+"
