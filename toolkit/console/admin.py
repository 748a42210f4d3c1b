"""The base class of the console's pages: services make every change, and may refuse it."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from toolkit.console.lists import CappedPaginator, SafeListAdmin, as_id

# The key in request.META of the service's refusal, for the second run of changeform_view.
REFUSAL = "mailing_manager.refusal"


class ConsoleForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in its stubs
    """A form that shows the service's refusal as an error, and keeps what the operator wrote."""

    refusal: ClassVar[ValidationError | None] = None

    def clean(self) -> dict[str, Any]:
        """Validate, and add the service's refusal of the first run, if there was one."""
        cleaned = super().clean() or self.cleaned_data
        if self.refusal:
            self.add_error(None, self.refusal)
        return cleaned


class ConsoleAdmin(SafeListAdmin):
    """The console's pages of a model. Every change goes through a service, which may refuse it."""

    form = ConsoleForm
    actions: tuple[str, ...] = ("delete_selected",)
    list_per_page = 50
    list_filter_submit = True
    # No click may count or change all of several million rows.
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_disable_select_all = True
    warn_unsaved_form = True

    def delete_via_service(self, item: Any) -> None:
        """Delete one object through its service."""
        raise NotImplementedError

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Allow exact lookups only; others, such as regular expressions, may be slow or fail."""
        return "__" not in lookup.removesuffix("__exact")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the rows that a search finds, and False: no row is found twice."""
        return self.search(queryset, search_term.replace("\0", "").strip()), False

    def search(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Keep the rows that a search text finds; all rows if it is empty."""
        raise NotImplementedError

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return the form class, with the service's refusal if there was one in this request."""
        form = super().get_form(request, *args, **kwargs)
        form.refusal = request.META.get(REFUSAL)
        return form

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show or save an object; a service's refusal becomes an error of the form.

        On a refusal the whole view runs a second time. The first run, with all that it had written,
        is rolled back (Django's admin runs each in a transaction). In the second, the form has the
        refusal as an error, so that nothing is saved and the page is shown again.
        """
        try:
            response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except ValidationError as refusal:
            request.META[REFUSAL] = refusal
            response = super().changeform_view(request, *args, **kwargs)
        return response

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete an object through its service."""
        self.delete_via_service(obj)

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Apply an action to the selected objects; texts that are no ids are ignored."""
        post = request.POST.copy()
        selected = post.getlist(ACTION_CHECKBOX_NAME)
        post.setlist(ACTION_CHECKBOX_NAME, [pk for pk in selected if as_id(pk)])
        request.POST = post  # type: ignore[assignment]  # Django lets one replace it
        return super().response_action(request, queryset)
