"""The console's pages that change or delete all clients whom a list finds."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clients import changing
from clients.audience import KEYS
from clients.models import ClientChange
from toolkit import time_zones
from toolkit.console.admin import ConsoleAdmin
from toolkit.console.labels import format_number, label, sentence

What = ClientChange.What
Status = ClientChange.Status
LIST = "admin:clients_client_changelist"
ASKED = (*KEYS, "q")  # parameters of the list
NEEDS = {
    What.TAG: "clients.change_client",
    What.TIMEZONE: "clients.change_client",
    What.DELETE: "clients.delete_client",
}
STATES = {
    Status.QUEUED: gettext_lazy("waiting for its turn"),
    Status.RUNNING: gettext_lazy("under way"),
    Status.FINISHED: gettext_lazy("finished"),
    Status.FAILED: gettext_lazy("failed"),
}
COLOURS = {Status.FINISHED: "success", Status.FAILED: "danger"}


class ChangesAll(ConsoleAdmin):
    """Adds to a list of clients what is done to all that it finds."""

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses of the form, and of how far a change is."""
        wrap = self.admin_site.admin_view
        return [
            path("change-all/", wrap(self.change_all), name="clients_client_change_all"),
            path("change-all/<int:pk>/", wrap(self.changing), name="clients_client_changing"),
            *super().get_urls(),
        ]

    def change_all(self, request: HttpRequest) -> HttpResponse:
        """Ask what is to be done to all that filters find, with their number, and order it."""
        allowed = allowed_to(request)
        if not allowed:
            raise PermissionDenied
        filters = {name: value for name in ASKED if (value := request.GET.get(name, "").strip())}
        try:
            number = changing.number_found(filters)
        except (ValidationError, ValueError):
            self.message_user(request, _("No list can be filtered like that."), messages.WARNING)
            return redirect(reverse(LIST))
        refusal = ""
        if request.method == "POST":
            what = request.POST.get("what", "")
            if what in What.values and what not in allowed:
                raise PermissionDenied
            try:
                job = self._order(request, filters, what, number)
                return redirect(reverse("admin:clients_client_changing", args=[job.pk]))
            except ValidationError as error:
                refusal = sentence(error)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Change all that is found"),
            "opts": self.opts,
            "number": number,
            "shown_number": format_number(number),
            "filters": filters,
            "allowed": allowed,
            "zones": sorted(time_zones.names()),
            "refusal": refusal,
            "sent": request.POST,
            "list_address": f"{reverse(LIST)}?{request.GET.urlencode()}",
        }
        return TemplateResponse(request, "admin/clients/client/change_all.html", context)

    def _order(
        self, request: HttpRequest, filters: dict[str, str], what: str, number: int
    ) -> ClientChange:
        """Order a change.

        Raises:
            ValidationError: the number is not the one that was shown, a deletion was not confirmed,
                or the value cannot be that of a client.
        """
        if request.POST.get("number") != str(number):
            raise ValidationError(
                _("Their number has changed meanwhile. Look again, then confirm.")
            )
        if what == What.DELETE and "sure" not in request.POST:
            raise ValidationError(_("Tick that all of them are to be deleted."))
        value = request.POST.get(f"value_{what}", "")
        return changing.order_change(
            filters, what=what, value=value, number=number, user=request.user
        )

    def changing(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show how far a change is; to the page itself, only the part that is renewed."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        job = ClientChange.objects.filter(pk=pk).first()
        if job is None:
            raise Http404
        context = {
            "job": job,
            "state": label(
                str(STATES[Status(job.status)]), COLOURS.get(Status(job.status), "info")
            ),
            "is_moving": job.status in (Status.QUEUED, Status.RUNNING),
            "figures": {
                name: format_number(getattr(job, name)) for name in ("number", "done", "changed")
            },
        }
        if "HX-Request" in request.headers:
            return render(request, "admin/clients/client/changing_part.html", context)
        context |= {
            **self.admin_site.each_context(request),
            "title": _("Change of clients"),
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/clients/client/changing.html", context)


def allowed_to(request: HttpRequest) -> list[str]:
    """Return what somebody may do to all clients at once."""
    may = request.user.has_perm
    return [str(what) for what, right in NEEDS.items() if may("clients.view_client") and may(right)]
