"""The console's page "History": everything that anybody did, by who, what, kind and when."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from toolkit.console.history_pages import HistoryPage, read_page
from toolkit.console.history_words import kind_title, rows_of
from toolkit.console.lists import SafeListAdmin
from toolkit.console.read_only import ReadOnlyPages
from toolkit.history.actors import Door
from toolkit.history.kinds import model_of, validate_object
from toolkit.history.models import Deed, Entry

HEADERS = (_("When"), _("Who"), _("What"), _("To what"), _("From what to what"))


class DayInput(UnfoldAdminTextInputWidget):
    """A day, by the browser's own calendar."""

    input_type = "date"


class HistoryFilter(forms.Form):
    """What is looked for."""

    user = forms.CharField(
        label=_("Who"),
        required=False,
        max_length=150,
        widget=UnfoldAdminTextInputWidget(attrs={"list": "history-users", "autocomplete": "off"}),
    )
    deed = forms.ChoiceField(label=_("What"), required=False, widget=UnfoldAdminSelectWidget)
    kind = forms.ChoiceField(label=_("To what"), required=False, widget=UnfoldAdminSelectWidget)
    door = forms.ChoiceField(label=_("How"), required=False, widget=UnfoldAdminSelectWidget)
    at_from = forms.DateField(label=_("From"), required=False, widget=DayInput)
    at_to = forms.DateField(label=_("Until"), required=False, widget=DayInput)
    object = forms.CharField(required=False, validators=[validate_object], widget=forms.HiddenInput)
    token = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        everything = ("", _("everything"))
        fields: Any = self.fields
        fields["deed"].choices = [everything, *Deed.choices]
        kinds = [(kind, kind_title(kind)) for kind in settings.HISTORY_KINDS]
        fields["kind"].choices = [everything, *sorted(kinds, key=lambda each: each[1])]
        fields["door"].choices = [("", _("any")), *Door.choices]

    def clean_user(self) -> int | None:
        """Return the id of the user of a name.

        Raises:
            ValidationError: there is none.
        """
        name = self.cleaned_data["user"].strip()
        if not name:
            return None
        found = User.objects.filter(username__iexact=name).order_by("pk").first()
        if found is None:
            raise ValidationError(_("There is no user of this name."))
        return found.pk

    def page(self, before: str) -> HistoryPage:
        """Return the entries that are looked for; none where that makes no sense."""
        if not self.is_valid():
            return HistoryPage()
        chosen = self.cleaned_data
        days = {"first_day": chosen["at_from"], "last_day": chosen["at_to"]}
        return read_page(chosen, **days, before=before)


@admin.register(Entry)
class EntryAdmin(ReadOnlyPages, SafeListAdmin):
    """History, which can be read and not written; old entries go (HISTORY_DAYS)."""

    actions = None

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the newest entries that fit, and the way to older ones.

        Raises:
            PermissionDenied: whoever asks may not see all of history.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = HistoryFilter(request.GET)
        page = form.page(request.GET.get("before", ""))
        rows = zip(rows_of(page.entries), page.entries, strict=True)
        context = {
            **self.admin_site.each_context(request),
            "title": _("History"),
            "opts": self.opts,
            "form": form,
            "users": User.objects.order_by("username").values_list("username", flat=True)[:500],
            "only": _object_name(form, page),
            "table": {
                "headers": HEADERS,
                "rows": [[*row[:3], _subject(entry), row[3]] for row, entry in rows],
            },
            "entries": page.entries,
            "is_short": page.is_short,
            "older": _older(request, page),
            "newest": _without(request, "before") if request.GET.get("before") else "",
            "of_all": _without(request, "before", "object", "token"),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/console/history_list.html", context)


def _subject(entry: Entry) -> str | SafeString:
    """Return what something was done to, with a link to the history of that."""
    if not entry.key or model_of(entry.kind) is None:
        return entry.text
    address = reverse("admin:history_entry_changelist")
    return format_html(
        '<a href="{}?object={}" class="text-link">{}</a>', address, entry.object, entry.text
    )


def _object_name(form: HistoryFilter, page: HistoryPage) -> str:
    """Return what the only object is called of which history is shown."""
    wanted = form.data.get("object") or form.data.get("token") or ""
    if form.data.get("object") and page.entries:
        return page.entries[0].text
    return str(wanted)


def _older(request: HttpRequest, page: HistoryPage) -> str:
    return "" if page.before is None else _without(request, "before", before=page.before)


def _without(request: HttpRequest, *names: str, **values: Any) -> str:
    """Return the page's address without some of its parameters, and with others."""
    query = request.GET.copy()
    for name in names:
        query.pop(name, None)
    for name, value in values.items():
        query[name] = str(value)
    return f"?{query.urlencode()}"
