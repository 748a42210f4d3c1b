"""The console's lists of millions of rows: paged and filtered without reading all of them."""

from datetime import datetime, time
from typing import Any

from django.contrib import messages
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import BigIntegerField, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from unfold.contrib.filters.admin import RangeDateFilter, TextFilter
from unfold.utils import parse_date_str

from toolkit.console.confirming import AskingPages

# What Django raises for an address whose query parameters are invalid.
BAD_LIST_ERRORS = (
    IncorrectLookupParameters,
    DisallowedModelAdminLookup,
    ValidationError,
    ValueError,
    OverflowError,
)


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # generic only in its stubs
    """Pages through the first `cap` rows and counts no more of them."""

    template_name = "admin/console/pages.html"
    cap = 10_000  # rows

    @cached_property
    def count(self) -> int:
        """Return the number of rows, up to the cap."""
        return min(self._found, self.cap)

    @property
    def is_capped(self) -> bool:
        """Whether there are rows that no page shows."""
        return self._found > self.cap

    @cached_property
    def _found(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # lists page querysets
        return rows.order_by()[: self.cap + 1].count()


class ExactFilter(TextFilter):
    """Keeps rows whose column equals the typed text; it does not list the column's values."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows; none if the text cannot be a value of the column."""
        value = self.value()
        if not value:
            return queryset
        try:
            return queryset.filter(**{self.parameter_name: value.strip()})
        except (ValueError, ValidationError):
            return queryset.none()


class DaysFilter(RangeDateFilter):
    """Keeps rows whose time is between two days of the reader's zone, both included."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows; a side without a valid date is not limited."""
        for side, lookup, hour in (("from", "gte", time.min), ("to", "lte", time.max)):
            day = parse_date_str(self.used_parameters.get(f"{self.parameter_name}_{side}"))
            if day:
                at = datetime.combine(day, hour, timezone.get_current_timezone())
                queryset = queryset.filter(**{f"{self.parameter_name}__{lookup}": at})
        return queryset


class SafeListAdmin(AskingPages):
    """Shows the whole list, with a warning, where the query parameters are invalid.

    Its pages are called by what they show: a list by its rows, a page by its row.
    """

    new_title: Any = ""  # what the page is called on which a row is added

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Show the list."""
        title = capfirst(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> Any:
        """Show the page of a new row."""
        title = self.new_title or _("New: %(name)s") % {"name": self.opts.verbose_name}
        return super().add_view(request, form_url, {"title": title, **(extra_context or {})})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        """Show the page of a row, called by it, or that of a new one."""
        row = context.get("original")
        context |= {"title": str(row) if row else context["title"], "subtitle": None}
        return super().render_change_form(request, context, *args, **kw)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the list.

        Raises:
            IncorrectLookupParameters: the query parameters are invalid; Django's view then
                redirects to the whole list.
        """
        try:
            # Postgres refuses texts with a NUL character.
            if "%00" in request.META["QUERY_STRING"]:
                raise IncorrectLookupParameters
            changelist = super().get_changelist_instance(request)
            # Rows are read here, so that values that the database refuses raise here.
            changelist.result_list = list(changelist.result_list)
        except BAD_LIST_ERRORS:
            self.message_user(request, _("No list can be filtered like that."), messages.WARNING)
            raise IncorrectLookupParameters from None
        if not (changelist.query or changelist.has_active_filters):
            # Otherwise the whole list has a link to itself, as a filtered list has to the whole.
            changelist.full_result_count = changelist.result_count
        return changelist


def as_id(text: str) -> int | None:
    """Return a text as an id: a whole number from 1 to 2^63 - 1; None if it is not one."""
    number = int(text) if text.strip().isdecimal() and len(text) < 30 else 0
    return number if 0 < number <= BigIntegerField.MAX_BIGINT else None
