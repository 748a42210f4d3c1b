"""Pages that ask before something is done that cannot be taken back: what will happen, in numbers.

GET asks, and changes nothing. The button of that page does it, unless what matters of the facts has
changed since (`Question.stamp`): then the page is shown again, with what is so now.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import model_ngettext, quote, unquote
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin

from toolkit.console.history import HistoryPages
from toolkit.console.labels import GONE, format_number, join_names, sentence

CONFIRMED = "post"  # the field that only the button sends; its value is the stamp of the question


@dataclass(frozen=True)
class Question:
    """What a page asks before something is done.

    Args:
        title: the question, in a line.
        facts: what will happen, a sentence each, with numbers.
        deed: what the button says that does it.
        keep: what the button says that leads back.
        back: where that leads.
        stamp: another one once something has changed that whoever presses should know.
        is_final: whether it cannot be taken back.
        is_needed: whether it has to be asked; if not, a form that is sent has it done at once.
        fields: what the button sends along.
    """

    title: str
    facts: Sequence[str]
    deed: str
    keep: str
    back: str = ""
    stamp: str = "yes"
    is_final: bool = True
    is_needed: bool = True
    fields: Sequence[tuple[str, str]] = ()


def stamp_of(*facts: object) -> str:
    """Return a stamp that differs as soon as one of these does."""
    return blake2b(repr(facts).encode(), digest_size=12).hexdigest()


def confirm(
    page: ModelAdmin,
    request: HttpRequest,
    *,
    ask: Callable[[], Question],
    do: Callable[[], HttpResponse],
    back: str,
) -> HttpResponse:
    """Ask; or do it, where the button of the page was pressed.

    Both raise ValidationError where it cannot be done, and ObjectDoesNotExist where somebody else
    has deleted it: that is told on the page that this leads `back` to.
    """
    try:
        if request.method != "POST":
            return _show(page, request, ask())
        question, pressed = ask(), request.POST.get(CONFIRMED)
        if pressed == question.stamp or not question.is_needed:
            return do()
    except ValidationError as refusal:
        page.message_user(request, sentence(refusal), messages.ERROR)
        return redirect(back)
    except ObjectDoesNotExist:
        page.message_user(request, GONE, messages.ERROR)
        return redirect(back)
    if pressed is not None:
        changed = _("Something has changed meanwhile. Look at this page again, then confirm.")
        page.message_user(request, changed, messages.WARNING)
    return _show(page, request, question)


def _show(page: ModelAdmin, request: HttpRequest, question: Question) -> HttpResponse:
    context = {
        **page.admin_site.each_context(request),
        "title": question.title,
        "opts": page.opts,
        "question": question,
    }
    return TemplateResponse(request, "admin/console/confirm.html", context)


class AskingPages(HistoryPages):
    """Asks before rows are deleted, with what goes with them.

    The way there is a link at the end of a row's page, and not a button beside Save; or the action
    `delete_selected`, for admins that name it among theirs.
    """

    def facts_of_deletion(self, items: Sequence[Any]) -> list[str]:
        """Return what is lost with some rows, and what stays: a sentence each."""
        return []

    def ask_to_delete(self, item: Any) -> Question:
        """Return what is asked before a row is deleted."""
        return Question(
            title=_("Delete %(name)s?") % {"name": item},
            facts=self.facts_of_deletion([item]),
            deed=_("Delete"),
            keep=_("Keep"),
            back=self.way_back(item),
        )

    def told_of_deletion(self, item: Any) -> str:
        """Return what is told once a row is deleted; it is asked for before."""
        return _("%(name)s is deleted.") % {"name": item}

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask, then delete a row; a refusal leads back to its page.

        Raises:
            Http404: there is no such row.
            PermissionDenied: whoever asks may not delete it.
        """
        item = self.get_object(request, unquote(object_id))
        if not self.has_delete_permission(request, item):
            raise PermissionDenied
        if item is None:
            raise Http404

        def delete() -> HttpResponse:
            told = self.told_of_deletion(item)
            self._delete(request, item)
            self.message_user(request, told, messages.SUCCESS)
            return redirect(self.address_of("changelist"))

        ask = partial(self.ask_to_delete, item)
        return confirm(self, request, ask=ask, do=delete, back=self.way_back(item))

    @admin.action(permissions=["delete"], description=gettext_lazy("Delete selected"))
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Ask for confirmation, then delete the rows one by one."""
        items = list(queryset)
        return self.ask_first(
            request,
            "delete_selected",
            items,
            ask=partial(self.ask_to_delete_selected, items),
            do=partial(
                self.apply_to_each, request, items, partial(self._delete, request), _("deleted")
            ),
        )

    def ask_to_delete_selected(self, items: Sequence[Any]) -> Question:
        """Return what is asked before the selected rows are deleted."""
        number = {"number": format_number(len(items))}
        return Question(
            title=_("Delete what is selected: %(number)s?") % number,
            facts=[join_names([str(item) for item in items]), *self.facts_of_deletion(items)],
            deed=_("Delete %(number)s") % number,
            keep=_("Keep"),
        )

    def apply_to_each(
        self,
        request: HttpRequest,
        items: Iterable[Any],
        action: Callable[[Any], object],
        done: str,
    ) -> None:
        """Apply an action to each object; show how many were `done`, and every refusal."""
        refused: dict[str, list[str]] = {}
        count = 0
        for item in items:
            name = str(item)
            try:
                action(item)
            except ValidationError as refusal:
                refused.setdefault(sentence(refusal), []).append(name)
            except ObjectDoesNotExist:
                refused.setdefault(str(GONE), []).append(name)
            else:
                count += 1
        if count:
            what = {
                "number": format_number(count),
                "objects": model_ngettext(self.opts, count),
                "done": done,
            }
            text = _("%(number)s %(objects)s %(done)s.") % what
            self.message_user(request, capfirst(text), messages.SUCCESS)
        for reason, names in refused.items():
            self.message_user(request, f"{join_names(names)}: {reason}", messages.ERROR)

    def _delete(self, request: HttpRequest, item: Any) -> None:
        with transaction.atomic():
            self.log_deletions(request, [item])
            self.delete_model(request, item)

    def ask_first(
        self,
        request: HttpRequest,
        action: str,
        items: Sequence[Any],
        *,
        ask: Callable[[], Question],
        do: Callable[[], object],
    ) -> HttpResponse:
        """Ask before an action is applied to the selected rows, or apply it; then show the list."""
        back = request.get_full_path()
        ids = ((ACTION_CHECKBOX_NAME, str(item.pk)) for item in items)
        fields = [("action", action), *ids]

        def done() -> HttpResponse:
            do()
            return redirect(back)

        return confirm(
            self,
            request,
            ask=lambda: replace(ask(), back=back, fields=fields),
            do=done,
            back=back,
        )

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Show the page of a row, with the way to delete it at its end."""
        row = context.get("original")
        if row and context.get("show_delete", True) and self.has_delete_permission(request, row):
            context["delete_page"] = self.address_of("delete", row.pk)
        context["show_delete"] = False
        return super().render_change_form(request, context, *args, **kwargs)

    def formfield_for_dbfield(self, *args: Any, **kwargs: Any) -> Any:
        """Return the field of a form, from which no other row is deleted."""
        field = super().formfield_for_dbfield(*args, **kwargs)
        if field and hasattr(field.widget, "can_delete_related"):
            field.widget.can_delete_related = False
        return field

    def address_of(self, page: str, *args: object) -> str:
        """Return the address of a page of the model: its list, or one of a row, or of its own."""
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_{page}"
        return reverse(name, args=args)

    def page_of(self, pk: int | str) -> str:
        """Return the address of a row's page."""
        return self.address_of("change", quote(pk))

    def way_back(self, item: Any) -> str:
        """Return where it leads not to delete a row after all, or that it is refused."""
        return self.page_of(item.pk)
