"""What the form of a mailing shows while it is written: its length, and whom it reaches."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from clients.sizing import audience_of
from mailings.admin import summaries
from mailings.admin.forms import check_filters, duplicate_of, filters_of
from mailings.admin.reviewing import MailingReviewAdmin
from mailings.models import Mailing
from toolkit.console.labels import sentence
from toolkit.console.lists import as_id
from toolkit.text_parts import text_parts

TEMPLATES = "admin/mailings/mailing"
DUPLICATES = "duplicates"  # in the address of the form: the mailing that the new one is like
# Of a longer text it is only said that it is too long.
COUNTED = 20_000  # characters


class MailingFormAdmin(MailingReviewAdmin):
    """Answers the form while somebody writes."""

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses that the form asks while somebody writes."""
        wrap, name = self.admin_site.admin_view, "mailings_mailing_"
        return [
            path("audience/", wrap(self.count_audience), name=f"{name}audience"),
            path("text/", wrap(require_POST(self.count_text)), name=f"{name}text"),
            *super().get_urls(),
        ]

    def count_audience(self, request: HttpRequest) -> HttpResponse:
        """Answer with whom the filters of a form select now."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        filters = filters_of(request.GET)
        context: dict[str, Any] = {"may_see_clients": request.user.has_perm("clients.view_client")}
        try:
            check_filters(filters)
        except ValidationError as error:
            context["refusal"] = sentence(error)
        else:
            found = audience_of(filters)
            context["audience"] = summaries.of_audience(Mailing(filters=filters), found)
        return TemplateResponse(request, f"{TEMPLATES}/matched.html", context)

    def count_text(self, request: HttpRequest) -> HttpResponse:
        """Answer with the length, the alphabet and the parts of a form's text."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        text = request.POST.get("text", "").replace("\r\n", "\n").replace("\0", "")[:COUNTED]
        limit = summaries.limit_of(Mailing, "text")
        context = {"text": summaries.of_text(text_parts(text), limit=limit)}
        return TemplateResponse(request, f"{TEMPLATES}/counted.html", context)

    @admin.display(description=_("Length"))
    def length(self, mailing: Mailing) -> SafeString:
        """Show the length of the form's text; the page fetches it."""
        return render_to_string(f"{TEMPLATES}/length.html")

    @admin.display(description=_("Clients"))
    def matching(self, mailing: Mailing) -> SafeString:
        """Show whom the form's filters select; the page fetches it."""
        return render_to_string(f"{TEMPLATES}/matching.html")

    @admin.display(description=_("Hours of the day"))
    def presets(self, mailing: Mailing) -> SafeString:
        """Offer hours of the day that many choose."""
        return render_to_string(f"{TEMPLATES}/presets.html")

    def duplicated(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the form of a new mailing begins with that is like another one.

        Raises:
            Http404: there is no other one.
            PermissionDenied: it may not be seen.
        """
        if DUPLICATES not in request.GET:
            return {}
        if not self.has_view_permission(request):
            raise PermissionDenied
        return duplicate_of(get_object_or_404(Mailing, pk=as_id(request.GET[DUPLICATES])))
