"""The review of a draft: what it comes to, and the one button that launches it."""

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from clients.sizing import Audience
from mailings import services
from mailings.admin import labels, summaries
from mailings.admin.actions import MailingActionsAdmin
from mailings.models import Mailing
from mailings.preview import audience_of_mailing, preview
from mailings.tasks import apply_on_commit
from toolkit import clock
from toolkit.console.labels import format_minute, format_number, sentence

# Of a mailing to everybody, when they are more, the operator types how many.
TYPED_ABOVE = 10_000
TOLERANCE = 0.01  # by which the audience may have changed since the page was shown


class MailingReviewAdmin(MailingActionsAdmin):
    """The page on which a draft is looked at once more, and launched."""

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses of the review and of its buttons."""
        wrap, name = self.admin_site.admin_view, "mailings_mailing_"
        return [
            path("<int:pk>/review/", wrap(require_GET(self.review)), name=f"{name}review"),
            path("<int:pk>/launch/", wrap(require_POST(self.launch)), name=f"{name}launch"),
            *super().get_urls(),
        ]

    def review(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what a draft comes to. A mailing that was launched has its own page."""
        mailing = self._get(request, pk)
        if not self.has_view_permission(request, mailing):
            raise PermissionDenied
        if not mailing.is_draft:
            return redirect(self.page_of(pk))
        context = {
            **self.admin_site.each_context(request),
            "title": _("Review mailing %(number)s") % {"number": pk},
            "opts": self.opts,
            "original": mailing,
            **self._reviewed(request, mailing, clock.now()),
        }
        return TemplateResponse(request, "admin/mailings/mailing/review.html", context)

    def launch(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Launch a draft as it was reviewed, and go to its page; or back, with what is wrong."""
        mailing = self._get(request, pk)
        if not self.has_launch_permission(request):
            raise PermissionDenied
        now = clock.now()
        try:
            _refuse_if_unsure(request, mailing)
            version = _version_of(request, mailing)
            launched = services.launch_mailing(mailing, now=now, version=version)
        except ValidationError as refusal:
            self.message_user(request, sentence(refusal), messages.ERROR)
            return redirect(self.review_of(pk) if mailing.is_draft else self.page_of(pk))
        apply_on_commit(launched)
        self.message_user(request, _launched(launched, now), messages.SUCCESS)
        return redirect(self.page_of(pk))

    def review_of(self, pk: int) -> str:
        """Return the address of a draft's review."""
        return reverse(f"{self.admin_site.name}:mailings_mailing_review", args=[pk])

    def _reviewed(self, request: HttpRequest, mailing: Mailing, now: datetime) -> dict[str, Any]:
        found = preview(mailing, now=now)
        text = found.text
        may_see_clients = request.user.has_perm("clients.view_client")
        audience = summaries.of_audience(mailing, found.audience)
        is_to_type = _is_to_type(mailing, found.audience)
        has_begun = mailing.start_time <= now
        return {
            "mailing": mailing,
            "version": mailing.updated_at.isoformat(),
            "to_whom": labels.audience(mailing),
            "audience": audience,
            "samples": summaries.samples(found.audience) if may_see_clients else [],
            "may_see_clients": may_see_clients,
            "text": text and summaries.of_text(text, limit=summaries.limit_of(Mailing, "text")),
            "bill": text and summaries.bill(text, found.audience),
            "starts": _("at once") if has_begun else format_minute(mailing.start_time),
            "stops": format_minute(mailing.stop_time),
            "is_too_late": mailing.stop_time <= now,
            "hours": summaries.hours(mailing),
            "outlook": summaries.outlook(mailing, found),
            "cautions": summaries.cautions(found),
            "may_launch": self.has_launch_permission(request),
            "may_edit": self.has_change_permission(request, mailing),
            "launch_title": summaries.launch_title(mailing, found.audience, now),
            "typed": format_number(audience["total"]) if is_to_type else "",
            "edit_page": self.page_of(mailing.pk),
            "list_page": reverse(f"{self.admin_site.name}:mailings_mailing_changelist"),
        }


def _version_of(request: HttpRequest, mailing: Mailing) -> datetime:
    """Return the version that the page showed; where it says none that can be read, the present."""
    try:
        return parse_datetime(request.POST.get("version", "")) or mailing.updated_at
    except ValueError:
        return mailing.updated_at


def _is_to_type(mailing: Mailing, audience: Audience) -> bool:
    is_everyone = not mailing.filters and not mailing.resends_id
    return is_everyone and audience.total > TYPED_ABOVE


def _refuse_if_unsure(request: HttpRequest, mailing: Mailing) -> None:
    """Refuse to launch a mailing to everybody by somebody who did not type how many they are.

    Raises:
        ValidationError: the number is not there, or not that of the page, or it has changed.
    """
    if not mailing.is_draft or mailing.filters or mailing.resends_id:
        return
    audience = audience_of_mailing(mailing)
    if not _is_to_type(mailing, audience):
        return
    shown, typed = _digits(request.POST.get("total", "")), _digits(request.POST.get("typed", ""))
    if not typed or typed != shown:
        raise ValidationError(
            _("This mailing goes to everybody. Type how many clients that are to launch it.")
        )
    if abs(int(typed) - audience.total) > audience.total * TOLERANCE:
        raise ValidationError(
            _("There are other clients by now. Look at the numbers again, and type the new one.")
        )


def _digits(text: str) -> str:
    return "".join(each for each in text[:50] if each.isdecimal() and each.isascii())


def _launched(mailing: Mailing, now: datetime) -> str:
    if mailing.start_time > now:
        start = format_minute(mailing.start_time)
        return _("Launched: sending begins at %(time)s.") % {"time": start}
    return _("Launched: sending begins now.")
