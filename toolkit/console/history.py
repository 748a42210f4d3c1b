"""The page "History" of an object, for every page of the console.

Django's own log is not written any more: services record what they do, whoever calls them
(docs/adr/0032-history.md). What it holds from before is shown below.
"""

from collections.abc import Sequence
from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.forms import BaseForm
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from toolkit.console.history_pages import read_page
from toolkit.console.history_words import rows_of
from toolkit.console.labels import format_second
from toolkit.history.kinds import key_of, kind_of
from toolkit.history.models import Deed
from toolkit.history.recording import differences, record_deed, values_of

SHOWN = 100  # entries of Django's log, the newest ones
HEADERS = (_("When"), _("Who"), _("What"), _("From what to what"))


class HistoryPages(ModelAdmin):
    """Shows the history of an object, also of one that is deleted."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Leave it to the service, or to the watch on the model, to record that."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Leave it to the service, or to the watch on the model, to record that."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """Leave it to the service, or to the watch on the model, to record that."""

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what was done to an object, the newest first.

        Raises:
            Http404: there is no such object, and there was none.
        """
        pk = unquote(object_id)
        obj = self.get_object(request, pk)
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        kind, key = kind_of(self.model), key_of(obj) if obj else pk
        page = read_page({"object": f"{kind}/{key}"}, before=request.GET.get("before", ""))
        former = LogEntry.objects.filter(
            object_id=pk, content_type=get_content_type_for_model(self.model)
        ).select_related("user")
        if not (obj or page.entries):
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("History: %(name)s") % {"name": obj or page.entries[0].text},
            "opts": self.opts,
            "object": obj,
            "table": {"headers": HEADERS, "rows": rows_of(page.entries)},
            "older": f"?before={page.before}" if page.before else "",
            "newest": "?" if request.GET.get("before") else "",
            "former": _former_table(former.order_by("-action_time")[:SHOWN]),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/console/history.html", context)


class AtomicActions(ModelAdmin):
    """Applies an action to the selected objects in one transaction with its history."""

    def response_action(self, request: HttpRequest, queryset: Any) -> Any:
        """Apply an action to the selected objects."""
        with transaction.atomic():
            return super().response_action(request, queryset)


class RecordedForms(AtomicActions, HistoryPages):
    """Pages of another package's model that are recorded by their forms and actions.

    For models that the program itself writes all the time, so that a watch would note too much.
    """

    unrecorded = ("last_run_at", "total_run_count", "date_changed")

    def construct_change_message(
        self, request: HttpRequest, form: BaseForm, formsets: Any, add: bool = False
    ) -> Any:
        """Return what a form changes, from what to what."""
        before = {} if add else {name: form.initial.get(name) for name in form.changed_data}
        after = {name: form.cleaned_data.get(name) for name in form.changed_data}
        return differences(before, after)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Record what was added."""
        record_deed(Deed.CREATED, obj, changes=message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Record what was changed, if anything was."""
        if message:
            record_deed(Deed.CHANGED, obj, changes=message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """Record what is about to be deleted."""
        for obj in queryset:
            record_deed(Deed.DELETED, obj)

    def response_action(self, request: HttpRequest, queryset: Any) -> Any:
        """Apply an action to the selected objects, and record what it changed of them."""
        ids = [
            pk
            for pk in request.POST.getlist(ACTION_CHECKBOX_NAME)
            if pk.isdecimal() and len(pk) < 19
        ]
        with transaction.atomic():
            before = self._values(ids)
            response = super().response_action(request, queryset)
            for row, values in self._values(ids).items():
                if changes := differences(before[row], values):
                    record_deed(Deed.CHANGED, row, changes=changes)
        return response

    def _values(self, ids: Sequence[str]) -> dict[Any, dict[str, Any]]:
        columns = [
            field.name
            for field in self.model._meta.concrete_fields
            if not field.primary_key and field.name not in self.unrecorded
        ]
        return {row: values_of(row, columns) for row in self.model._base_manager.filter(pk__in=ids)}


def _former_table(log: Any) -> dict[str, Any] | None:
    rows = [
        [format_second(each.action_time), each.user.get_username(), each.get_change_message(), "–"]
        for each in log
    ]
    return {"headers": HEADERS, "rows": rows} if rows else None
