"""The console's pages of mailings."""

from datetime import timedelta
from typing import Any, cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.forms import model_to_dict
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from mailings import services
from mailings.admin import conflict, labels
from mailings.admin.composing import DUPLICATES, MailingFormAdmin
from mailings.admin.ending import REASON, RESENDS
from mailings.admin.forms import MailingForm
from mailings.admin.rows import live_rows, rows_of
from mailings.models import Mailing
from mailings.tasks import apply_on_commit
from messages_app.admin.now import sending_now
from messages_app.admin.sender import banner_parts
from messages_app.models import ErrorCode
from toolkit import clock
from toolkit.console.labels import format_minute
from toolkit.console.lists import DaysFilter, as_id

TEMPLATES = "admin/mailings/mailing"
TIMES = ("start_time", "stop_time", "presets", ("window_start", "window_end"))


@admin.register(Mailing)
class MailingAdmin(MailingFormAdmin):
    """What is sent, to whom, from when to when, and how far it has come."""

    form = MailingForm
    new_title = _("New mailing")
    list_display = ("number", "text_excerpt", "state", "times", "audience", "progress")
    list_display_links = ("text_excerpt",)
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("start_time", DaysFilter),
        ("stop_time", DaysFilter),
    )
    search_fields = ("text",)
    search_help_text = _("Words of the text, an id, or an external id")
    readonly_fields = ("length", "matching", "presets", "audience")
    list_before_template = f"{TEMPLATES}/list_live.html"
    change_form_outer_before_template = f"{TEMPLATES}/panel_slot.html"
    change_form_before_template = f"{TEMPLATES}/version.html"

    class Media:
        """What the list's cards on a phone look like."""

        css = {"all": ("mailings/list.css",)}  # noqa: RUF012  # Django's own way

    # The list

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the list; the messages of all its mailings are counted at once."""
        changelist = super().get_changelist_instance(request)
        rows = changelist.result_list
        changelist.live = live_rows(rows_of(rows, sending_now(request)), banner_parts(request))
        slots = changelist.live.slots
        for mailing in rows:
            mailing.slots = {name: slots[f"{name}-{mailing.pk}"] for name in ("state", "progress")}
        return changelist

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, with what can be done to all that it finds."""
        context = {"orders": list(self.orders_for(request)), **(extra_context or {})}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def search(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Keep mailings whose text contains the search text, or whose id or external id it is."""
        meant = Q(text__icontains=text) | Q(pk=as_id(text)) | Q(external_id=text)
        return queryset.filter(meant) if text else queryset

    @admin.display(description=_("id"), ordering="pk")
    def number(self, mailing: Mailing) -> int:
        """Show the id."""
        return mailing.pk

    @admin.display(description=_("text"), ordering="text")
    def text_excerpt(self, mailing: Mailing) -> str:
        """Show the beginning of the text."""
        return labels.excerpt(mailing.text)

    @admin.display(description=_("status"), ordering="status")
    def state(self, mailing: Any) -> SafeString:  # a mailing that carries its slots
        """Show what is so as a coloured label."""
        return cast(SafeString, mailing.slots["state"])

    @admin.display(description=_("from – to"), ordering="start_time")
    def times(self, mailing: Mailing) -> SafeString:
        """Show when sending begins and ends."""
        is_to_come = mailing.status in (Mailing.Status.DRAFT, Mailing.Status.SCHEDULED)
        return format_html(
            '<span class="whitespace-nowrap {}">{} – <br>{}</span>',
            "is-to-come" if is_to_come else "",
            format_minute(mailing.start_time),
            format_minute(mailing.stop_time),
        )

    @admin.display(description=_("at what hours"))
    def hours(self, mailing: Mailing) -> str:
        """Show the hours of the day in which clients are sent to."""
        return labels.hours(mailing.window)

    @admin.display(description=_("to whom"))
    def audience(self, mailing: Mailing) -> str:
        """Show in words to whom it goes."""
        return labels.audience(mailing)

    @admin.display(description=_("progress"))
    def progress(self, mailing: Any) -> SafeString:  # likewise
        """Show the counts of its messages as a bar."""
        return cast(SafeString, mailing.slots["progress"])

    # The page of one

    def get_fieldsets(self, request: HttpRequest, obj: Mailing | None = None) -> Any:
        """Show a form if the mailing can be edited, and its values in words if not."""
        if obj and not self.has_change_permission(request, obj):
            return [(None, {"fields": ("whole_text", "times", "hours", "audience", "external_id")})]
        is_draft = obj is None or obj.is_draft
        text = (_("Text"), {"fields": ("text", "length", "external_id")})
        when = (_("When"), {"fields": (*(("begins",) if is_draft else ()), *TIMES)})
        if obj and obj.resends_id:
            return [text, (_("To whom"), {"fields": ("audience",)}), when]
        if not obj and RESENDS in request.GET:
            return [text, when]
        filters = ("operator_code", "tag", "timezone", "matching")
        return [text, (_("To whom"), {"fields": filters}), when]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the form of a new mailing; with ?resends=ID, to those to whom that one failed."""
        title = str(_("New mailing"))
        if original := self._original(request):
            title = f"{title} {labels.resent(original.pk, _reasons(request))}"
        elif DUPLICATES in request.GET:
            number = as_id(request.GET[DUPLICATES])
            title = str(_("New mailing like %(number)s") % {"number": number})
        extra_context = {**(extra_context or {}), "title": title}
        response: HttpResponse = super().add_view(request, form_url, extra_context)
        return response

    def _original(self, request: HttpRequest) -> Mailing | None:
        """Return the mailing of which the new one of this page sends again what failed.

        Raises:
            Http404: there is none, and the new one would go to everyone.
            PermissionDenied: it would be sent, and somebody may write drafts only.
        """
        if RESENDS not in request.GET:
            return None
        if not self.may_launch(request):
            raise PermissionDenied
        return get_object_or_404(Mailing, pk=as_id(request.GET[RESENDS]))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Suggest to begin at the launch and to stop in 24 hours, and what another mailing had."""
        now = clock.now()
        original = self._original(request)
        draft = model_to_dict(services.draft_resending(original, now=now)) if original else {}
        return {
            **draft,
            **self.duplicated(request),
            "start_time": now,
            "stop_time": now + timedelta(days=1),
            **super().get_changeform_initial_data(request),
        }

    def has_change_permission(self, request: HttpRequest, obj: Mailing | None = None) -> bool:
        """Refuse to show a form for a mailing that is over. A POST is refused by the service."""
        is_read_only = obj is not None and obj.is_ended and request.method == "GET"
        return bool(super().has_change_permission(request, obj)) and not is_read_only

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Show the page: of a draft its form alone, of a mailing its panel, too."""
        mailing = context["original"]
        is_draft = mailing is None or mailing.is_draft
        is_running = mailing is not None and mailing.is_running
        context |= {"is_draft": is_draft, "show_save_and_add_another": False}
        context["show_delete"] = not is_running  # It would be refused.
        if mailing:
            context |= {"number": str(mailing.pk), "may_add": self.has_add_permission(request)}
            context["on_paper"] = labels.facts(mailing)
        form = context["adminform"].form
        if getattr(form.refusal, "code", "") == conflict.CHANGED:
            seen = str(form.data.get("seen", ""))
            context["conflict"] = conflict.conflict_of(form.instance, seen=seen)
        if is_draft:
            context["show_save_and_continue"] = False
        else:
            context["live"] = self.live_of(request, mailing, is_full=True)
            if self.has_launch_permission(request):
                context["seconds_to_undo"] = mailing.seconds_to_undo(clock.now())
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Mailing, form: Any, change: bool) -> None:
        """Save a mailing through its service, and queue the task that applies the change.

        A new one is a draft, whoever writes it: it is launched on the page of its review.
        """
        if not change:
            obj.resends = self._original(request)
            obj.resent_codes = _reasons(request)
            obj.status = Mailing.Status.DRAFT
        save = services.edit_mailing if change else services.create_mailing
        apply_on_commit(save(obj, now=clock.now()))

    def response_add(
        self, request: HttpRequest, obj: Mailing, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Go on to the review of the new draft."""
        return redirect(self.review_of(obj.pk))

    def response_change(self, request: HttpRequest, obj: Mailing) -> HttpResponse:
        """Go back to the review of a draft; with another mailing, where the button says."""
        if obj.is_draft:
            return redirect(self.review_of(obj.pk))
        response: HttpResponse = super().response_change(request, obj)
        return response

    @admin.display(description=_("text"))
    def whole_text(self, mailing: Mailing) -> str:
        """Show the whole text."""
        return mailing.text


def _reasons(request: HttpRequest) -> list[str] | None:
    """Return for which reasons failures are sent again in a new mailing; None for any.

    Raises:
        Http404: there is no such reason, and the new mailing would go to more people.
    """
    codes = sorted(set(request.GET.getlist(REASON)))
    if not codes or RESENDS not in request.GET:
        return None
    if not set(codes) <= set(ErrorCode.values):
        raise Http404
    return codes
