"""The base of pages that show what the program keeps, and where nothing is written."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from unfold.admin import ModelAdmin


class ReadOnlyPages(ModelAdmin):
    """Shows rows that nobody adds, edits or deletes by hand, and that have no history."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Ask for what seeing a row needs."""
        return bool(self.has_view_permission(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse to everybody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse to everybody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse to everybody: what is old goes by itself."""
        return False

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Show a row, with no way to a history."""
        context = {**context, "show_history": False}
        return super().render_change_form(request, context, *args, **kwargs)

    def history_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Refuse: such rows have none of their own.

        Raises:
            Http404: always.
        """
        raise Http404
