"""The console's page "Sender", which shows and sets sending control, and the banner about it."""

from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from messages_app.admin import labels
from messages_app.admin.lately import last_hour, lately_part
from messages_app.admin.now import sending_now
from messages_app.models import SendingControl
from messages_app.sending import control, home
from toolkit import clock
from toolkit.console.admin import ConsoleAdmin, ConsoleForm
from toolkit.console.labels import sentence
from toolkit.console.live import Live
from toolkit.publishing import publish

TEMPLATES = "admin/messages_app/sending"
MOST_OF_REASON = 200  # characters
SUGGESTED_REASONS = (
    _("The text is wrong"),
    _("It goes to the wrong people"),
    _("The sender has trouble"),
)
# Whoever has one of these permissions sees the banner.
CONCERNED = (
    "messages_app.change_sendingcontrol",
    "messages_app.view_sendingcontrol",
    "messages_app.view_message",
    "mailings.view_mailing",
)


def banner(request: HttpRequest) -> dict[str, Any]:
    """Return for every page what keeps messages from being sent, if the user may know it.

    With it comes the button that stops all sending, and whether anybody has done so.
    """
    if not may_be_told(request):
        return {}
    return {
        "component_health": sending_now(request).signs,
        "banner": live_banner(request),
    }


def live_banner(request: HttpRequest) -> Live:
    """Return what keeps messages from being sent, as a part of every page."""
    return Live(
        banner_parts(request),
        address=reverse("admin:messages_app_sendingcontrol_troubles"),
    )


def banner_parts(request: HttpRequest) -> dict[str, SafeString]:
    """Return the parts that every page has: what keeps messages from being sent, and the stop."""
    stop = {"stop": stop_of(request)}
    return {
        "troubles": _troubles(request),
        "stop_bar": render_to_string(f"{TEMPLATES}/stop_bar.html", stop, request),
        "stop_button": render_to_string(f"{TEMPLATES}/stop_button.html", stop, request),
    }


def stop_of(request: HttpRequest) -> dict[str, Any]:
    """Return what the header says of the stop, and offers: to stop all sending, or to resume."""
    sending = sending_now(request)
    return {
        "is_on": sending.control.is_paused,
        "sentence": labels.stopped(sending.control, sending.now),
        "reason": sending.control.pause_reason,
        "may_change": request.user.has_perm("messages_app.change_sendingcontrol"),
        "suggestions": SUGGESTED_REASONS,
        "page": _page_shown(request),
    }


def _troubles(request: HttpRequest) -> SafeString:
    """Return what keeps messages from being sent as a part of a page; empty if nothing does."""
    troubles = sending_now(request).troubles
    if not troubles:
        return SafeString("")
    is_welcome = request.user.has_perm("messages_app.view_sendingcontrol")
    page = reverse("admin:messages_app_sendingcontrol_change", args=[1]) if is_welcome else ""
    return render_to_string(
        f"{TEMPLATES}/troubles.html", {"troubles": troubles, "sender_page": page}
    )


def may_be_told(request: HttpRequest) -> bool:
    """Tell whether somebody may know what keeps messages from being sent."""
    return any(request.user.has_perm(right) for right in CONCERNED)


class SendingControlForm(ConsoleForm):
    """The operator's rate; to stop all sending there is the button in the header."""

    class Meta:
        labels = {"rate": _("Messages a second")}  # noqa: RUF012  # Django's own way

    def clean_rate(self) -> float | None:
        """Refuse a rate beyond the limits; none means no limit."""
        rate: float | None = self.cleaned_data["rate"]
        if rate is None or control.LOWEST_RATE <= rate <= control.HIGHEST_RATE:
            return rate
        raise ValidationError(
            _("Write messages a second, from %(lowest)g to %(highest).0f, or nothing.")
            % {"lowest": control.LOWEST_RATE, "highest": control.HIGHEST_RATE}
        )


@admin.register(SendingControl)
class SendingControlAdmin(ConsoleAdmin):
    """Sending control: one row, which can be neither added nor deleted."""

    form = SendingControlForm
    fieldsets = ((None, {"fields": ("rate",)}),)
    change_form_outer_before_template = f"{TEMPLATES}/panel.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse to everybody: there is one sender."""
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: SendingControl | None = None
    ) -> bool:
        """Refuse to everybody: there is one sender."""
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Go straight to the one row."""
        return redirect(self.page_of(1))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Show the page, with the panel."""
        context["live"] = self.live_of(request, is_full=True)
        return super().render_change_form(request, context, *args, **kwargs)

    def live_of(self, request: HttpRequest, *, is_full: bool) -> Live:
        """Return the parts of the page that are kept up to date."""
        panel = self.panel_of(request)
        now = sending_now(request).now
        parts = {
            **banner_parts(request),
            "state": render_to_string(f"{TEMPLATES}/state.html", {"panel": panel}, request),
            "lately": lately_part(now),
        }
        if is_full:
            parts["hour"] = last_hour(now)
        return Live(
            parts,
            address=reverse("admin:messages_app_sendingcontrol_panel"),
        )

    def panel_of(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the panel shows: sending control, and the health of components."""
        row, seen, now = sending_now(request)
        return {
            "restored": list(labels.restored(home.restored_at(now))),
            "state": labels.breaker_state(row, now),
            "failures": labels.failures(row),
            "rate": labels.kept_rate(row),
            "is_idempotent": settings.MESSAGE_SENDER_IDEMPOTENT,
            "signs": labels.health_labels(seen),
            "may_probe": bool(row.opened_at) and self.has_change_permission(request),
            "unconfirmed": reverse("admin:messages_app_message_changelist")
            + "?status__exact=fail&error_code=unconfirmed",
        }

    def save_model(
        self, request: HttpRequest, obj: SendingControl, form: Any, change: bool
    ) -> None:
        """Save what was edited, and start sending at once where it is allowed."""
        control.change(**{name: form.cleaned_data[name] for name in form.changed_data})
        transaction.on_commit(partial(publish, "send_message"))

    def response_change(self, request: HttpRequest, obj: SendingControl) -> HttpResponse:
        """Say what holds now, and stay on the page, where the effect can be watched."""
        rate = labels.kept_rate(SendingControl.objects.current())
        said = _("Messages go out %(rate)s.") % {"rate": rate}
        self.message_user(request, said, messages.SUCCESS)
        return redirect(self.page_of(1))

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses of the panel and of the buttons, also of those in every header."""
        wrap = self.admin_site.admin_view
        writes = {"probe": self.probe, "stop": self.stop, "resume": self.resume}
        return [
            path("panel/", wrap(self.show_panel), name="messages_app_sendingcontrol_panel"),
            path(
                "troubles/", wrap(self.show_troubles), name="messages_app_sendingcontrol_troubles"
            ),
            *(
                path(
                    f"{verb}/",
                    wrap(require_POST(view)),
                    name=f"messages_app_sendingcontrol_{verb}",
                )
                for verb, view in writes.items()
            ),
            *super().get_urls(),
        ]

    def stop(self, request: HttpRequest) -> HttpResponse:
        """Stop all sending, for the reason that is given, and stay on the page."""
        reason = " ".join(request.POST.get("reason", "").replace("\0", "").split())
        return self._set_pause(request, is_paused=True, pause_reason=reason[:MOST_OF_REASON])

    def resume(self, request: HttpRequest) -> HttpResponse:
        """Take the stop back, and stay on the page."""
        return self._set_pause(request, is_paused=False)

    def _set_pause(self, request: HttpRequest, **values: Any) -> HttpResponse:
        """Change the pause; answer a script with the header's parts, a form with its page."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        row = control.change(**values)
        transaction.on_commit(partial(publish, "send_message"))
        if "HX-Request" in request.headers:
            context = {"stop": stop_of(request), "is_swapped": True}
            return TemplateResponse(request, f"{TEMPLATES}/stop.html", context)
        if not row.is_paused:  # That it is, the header says.
            self.message_user(request, _("Sending goes on."), messages.SUCCESS)
        return redirect(_page_behind(request))

    def show_panel(self, request: HttpRequest) -> HttpResponse:
        """Answer with the parts of the page as they are now; the page asks again and again."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self.live_of(request, is_full="full" in request.GET).answer(request)

    def show_troubles(self, request: HttpRequest) -> HttpResponse:
        """Answer with what keeps messages from being sent; pages without a panel ask for it."""
        if not may_be_told(request):
            raise PermissionDenied
        return live_banner(request).answer(request)

    def probe(self, request: HttpRequest) -> HttpResponse:
        """Make the open breaker's probe due now, and go back to the page."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        try:
            control.probe_now(now=clock.now())
        except ValidationError as refusal:
            self.message_user(request, sentence(refusal), messages.ERROR)
            return redirect(self.page_of(1))
        transaction.on_commit(partial(publish, "send_message"))
        self.message_user(
            request, _("The next message that is due tries the sender now."), messages.SUCCESS
        )
        return redirect(self.page_of(1))


def _page_shown(request: HttpRequest) -> str:
    """Return the address of the page that the browser shows; scripts ask for parts of it only."""
    is_part = "HX-Request" in request.headers
    address = request.headers.get("Referer", "") if is_part else request.get_full_path()
    shown = urlsplit(address)
    return urlunsplit(("", "", shown.path, shown.query, ""))


def _page_behind(request: HttpRequest) -> str:
    """Return the page of ours that a button was pressed on; the first page if it does not say."""
    page = request.POST.get("page", "")
    is_ours = url_has_allowed_host_and_scheme(page, {request.get_host()}, request.is_secure())
    return page if is_ours else reverse("admin:index")
