"""The console's page "History": everything that anybody did."""

from datetime import datetime, time, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import DropdownFilter
from unfold.utils import parse_date_str

from toolkit.console.history import changes_in_words, what, who
from toolkit.console.labels import format_second
from toolkit.console.lists import CappedPaginator, DaysFilter, ExactFilter, SafeListAdmin
from toolkit.history.kinds import model_of
from toolkit.history.models import Deed, Entry


class ObjectFilter(ExactFilter):
    """What was done to one object."""

    title = _("object, such as mailings/12")
    parameter_name = "object"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the entries of an object; of a kind alone, those of deeds on many."""
        name = self.value()
        return queryset.of(name.strip()) if name else queryset  # type: ignore[attr-defined]


class UserFilter(ExactFilter):
    """What one user did."""

    title = _("user (the id)")
    parameter_name = "user_id"


class TokenFilter(ExactFilter):
    """What was done with one token."""

    title = _("token (its beginning)")
    parameter_name = "token"


class DeedFilter(DropdownFilter):
    """Where the same was done."""

    title = _("what was done")
    parameter_name = "deed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return all deeds."""
        return [(deed, str(name)) for deed, name in Deed.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the entries of the chosen deed; an unknown one keeps none."""
        return queryset.filter(deed=self.value()) if self.value() else queryset


class EntryDaysFilter(DaysFilter):
    """Keeps entries between two days of the reader's zone, both included."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the entries; a side without a valid date is not limited."""
        found: Any = queryset
        first, last = (
            parse_date_str(self.used_parameters.get(f"{self.parameter_name}_{side}"))
            for side in ("from", "to")
        )
        zone = timezone.get_current_timezone()
        if first:
            found = found.since(datetime.combine(first, time.min, zone))
        if last:
            found = found.until(datetime.combine(last, time.min, zone) + timedelta(days=1))
        return found  # type: ignore[no-any-return]  # Entry.objects, as phrases


@admin.register(Entry)
class EntryAdmin(SafeListAdmin):
    """History, which can be read and not written."""

    list_display = ("when", "who", "what", "object_link", "changes_in_words")
    list_display_links = None
    list_filter = (ObjectFilter, DeedFilter, UserFilter, TokenFilter, ("at", EntryDaysFilter))
    list_filter_submit = True
    list_per_page = 50
    sortable_by = ()  # newest first
    paginator = CappedPaginator
    show_full_result_count = False
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse to everybody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Entry | None = None) -> bool:
        """Refuse to everybody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Entry | None = None) -> bool:
        """Refuse to everybody; old entries go by themselves (HISTORY_DAYS)."""
        return False

    def history_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Refuse: history has none of its own.

        Raises:
            Http404: always.
        """
        raise Http404

    @admin.display(description=_("when"))
    def when(self, entry: Entry) -> str:
        """Show when it was done."""
        return format_second(entry.at)

    @admin.display(description=_("who"))
    def who(self, entry: Entry) -> str:
        """Show who did it, and by which way."""
        return who(entry)

    @admin.display(description=_("what"))
    def what(self, entry: Entry) -> str:
        """Show what was done."""
        return what(entry)

    @admin.display(description=_("to what"))
    def object_link(self, entry: Entry) -> str | SafeString:
        """Show what it was done to, with a link to the history of that."""
        model = model_of(entry.kind)
        if not entry.key or model is None:
            return entry.text
        address = reverse("admin:history_entry_changelist")
        return format_html(
            '<a href="{}?object={}" class="text-link">{}</a>', address, entry.object, entry.text
        )

    @admin.display(description=_("from what to what"))
    def changes_in_words(self, entry: Entry) -> str:
        """Show what was changed."""
        return changes_in_words(entry)
