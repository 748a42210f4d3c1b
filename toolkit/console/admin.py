"""What all rooms of the operators' console share: services change things, and may refuse."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected as ask_before_deleting
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import model_ngettext, quote
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from toolkit.console.labels import join_names, sentence
from toolkit.console.lists import CappedPaginator, SafeListAdmin, as_id

# Where a request keeps the refusal that its form is to show the second time round.
REFUSAL = "mailing_manager.refusal"


class ConsoleForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in its stubs
    """A form that shows what the service refused beside what the operator wrote."""

    refusal: ClassVar[ValidationError | None] = None

    def clean(self) -> dict[str, Any]:
        """Add the refusal of the first time round."""
        cleaned = super().clean() or self.cleaned_data
        if self.refusal:
            self.add_error(None, self.refusal)
        return cleaned


class ConsoleAdmin(SafeListAdmin):
    """A room of the console: every change goes through a service, which may refuse it."""

    form = ConsoleForm
    actions: tuple[str, ...] = ("delete_selected",)
    list_per_page = 50
    list_filter_submit = True
    # Counting or touching all of several million rows is nothing a click should do.
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_disable_select_all = True
    warn_unsaved_form = True
    delete_confirmation_template = "admin/console/delete_confirmation.html"
    delete_selected_confirmation_template = "admin/console/delete_selected_confirmation.html"

    class Media:
        """What Unfold's lists lack on a phone."""

        css = {"all": ("console/console.css",)}  # noqa: RUF012  # Django's own way

    def delete_via_service(self, item: Any) -> None:
        """Delete one object through its service."""
        raise NotImplementedError

    def describe_deletion(self, item: Any) -> str:
        """Name an object, and what its deletion means, to somebody about to delete it."""
        return str(item)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Take what the filters ask; regular expressions and such are slow, or wrong."""
        return "__" not in lookup.removesuffix("__exact")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the rows a search finds, and that none of them comes twice."""
        return self.search(queryset, search_term.replace("\0", "").strip()), False

    def search(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Keep what a text finds."""
        raise NotImplementedError

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return the form class, which knows what was refused just now."""
        form = super().get_form(request, *args, **kwargs)
        form.refusal = request.META.get(REFUSAL)
        return form

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show or save an object; what the service refuses becomes an error of the form.

        The form is gone through again then: only the service can tell, and only when asked.
        """
        try:
            response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except ValidationError as refusal:
            request.META[REFUSAL] = refusal
            response = super().changeform_view(request, *args, **kwargs)
        return response

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask, then delete; a refusal leads back to the object."""
        try:
            response: HttpResponse = super().delete_view(request, object_id, extra_context)
        except ValidationError as refusal:
            self.message_user(request, sentence(refusal), messages.ERROR)
            return redirect(self.page_of(object_id))
        return response

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete an object through its service."""
        self.delete_via_service(obj)

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Do what was asked with the selected objects, except those that cannot exist."""
        post = request.POST.copy()
        selected = post.getlist(ACTION_CHECKBOX_NAME)
        post.setlist(ACTION_CHECKBOX_NAME, [pk for pk in selected if as_id(pk)])
        request.POST = post  # type: ignore[assignment]  # Django lets one replace it
        return super().response_action(request, queryset)

    @admin.action(permissions=["delete"], description="Delete selected")
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Ask, then delete one by one."""
        if "post" not in request.POST:
            return ask_before_deleting(self, request, queryset)

        def delete_via_service(item: Any) -> None:
            with transaction.atomic():
                self.log_deletions(request, [item])
                self.delete_via_service(item)

        self.apply_to_each(request, queryset, delete_via_service, "deleted")
        return None

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Name the objects only; what hangs on them may be millions of rows."""
        names = [self.describe_deletion(item) for item in objs]
        return names, {self.opts.verbose_name_plural: len(names)}, set(), []

    def apply_to_each(
        self,
        request: HttpRequest,
        items: Iterable[Any],
        action: Callable[[Any], object],
        done: str,
    ) -> None:
        """Do one thing to each object; say how often, and what was refused and why."""
        refused: dict[str, list[str]] = {}
        count = 0
        for item in items:
            name = str(item)
            try:
                action(item)
            except ValidationError as refusal:
                refused.setdefault(sentence(refusal), []).append(name)
            except ObjectDoesNotExist:
                refused.setdefault("It is no longer there.", []).append(name)
            else:
                count += 1
        if count:
            text = f"{count} {model_ngettext(self.opts, count)} {done}."
            self.message_user(request, text, messages.SUCCESS)
        for reason, names in refused.items():
            self.message_user(request, f"{join_names(names)}: {reason}", messages.ERROR)

    def page_of(self, pk: int | str) -> str:
        """Return the address of an object's page."""
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_change"
        return reverse(name, args=[quote(pk)])
