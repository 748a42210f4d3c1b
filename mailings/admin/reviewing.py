"""The review of a draft: what it comes to, and the one button that launches it."""

from datetime import datetime
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from clients import phone_numbers
from clients.sizing import Audience
from mailings import services
from mailings.admin import labels, summaries
from mailings.admin.actions import MailingActionsAdmin
from mailings.admin.summaries import clients
from mailings.models import Mailing
from mailings.preview import preview
from mailings.reach import audience_of_mailing, needs_approval
from mailings.tasks import apply_on_commit
from messages_app.sending.trial import Outcome, Trial, send_trial
from toolkit import clock
from toolkit.access.models import preferences_of
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
            *(
                path(f"<int:pk>/{deed}/", wrap(require_POST(view)), name=f"{name}{deed}")
                for deed, view in (
                    ("launch", self.launch),
                    ("approve", self.approve),
                    ("undo", self.undo),
                    ("test", self.test),
                )
            ),
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

    def approve(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Approve a draft as it was reviewed, so that somebody else may launch it."""
        mailing = self._get(request, pk)
        if not self.has_launch_permission(request):
            raise PermissionDenied
        try:
            version = _version_of(request, mailing)
            services.approve_mailing(mailing, now=clock.now(), version=version)
        except ValidationError as refusal:
            self.message_user(request, sentence(refusal), messages.ERROR)
        else:
            done = _("Approved. Somebody else can launch it now.")
            self.message_user(request, done, messages.SUCCESS)
        return redirect(self.review_of(pk))

    def undo(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make a draft again of a mailing that was launched just now."""
        mailing = self._get(request, pk)
        if not self.has_launch_permission(request):
            raise PermissionDenied
        try:
            services.undo_launch(mailing, now=clock.now())
        except ValidationError as refusal:
            self.message_user(request, sentence(refusal), messages.ERROR)
            return redirect(self.page_of(pk))
        done = _("It is a draft again; nothing was sent.")
        self.message_user(request, done, messages.SUCCESS)
        return redirect(self.review_of(pk))

    def test(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send a mailing's text to one number now, and say what the sender answered."""
        mailing = self._get(request, pk)
        if not (self.has_view_permission(request, mailing) and self.may_launch(request)):
            raise PermissionDenied
        try:
            number = phone_numbers.normalise(request.POST.get("phone_number", ""))
            services.record_trial(mailing, phone_number=number)
            found = send_trial(text=mailing.text, phone_number=number, now=clock.now())
        except ValidationError as refusal:
            self.message_user(request, sentence(refusal), messages.ERROR)
        else:
            self.message_user(request, *_answered(found))
        return redirect(self.review_of(pk))

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
            **self._approval(request, mailing, found.audience),
            "may_edit": self.has_change_permission(request, mailing),
            "may_test": self.may_launch(request),
            "own_number": preferences_of(cast(User, request.user)).phone_number,
            "launch_title": summaries.launch_title(mailing, found.audience, now),
            "typed": format_number(audience["total"]) if is_to_type else "",
            "edit_page": self.page_of(mailing.pk),
            "list_page": reverse(f"{self.admin_site.name}:mailings_mailing_changelist"),
        }

    def _approval(
        self, request: HttpRequest, mailing: Mailing, audience: Audience
    ) -> dict[str, Any]:
        """Return whether somebody may launch it, or approve it, and what is said of that."""
        may_launch, me = self.has_launch_permission(request), request.user.pk
        if not needs_approval(audience.total):
            return {"may_launch": may_launch}
        if not mailing.is_approved:
            is_mine = mailing.written_by == me
            return {
                "may_approve": may_launch and not is_mine,
                "approval": _needed(is_mine=is_mine),
            }
        is_mine = mailing.approved_by == me
        name = User.objects.filter(pk=mailing.approved_by or 0).values_list("username", flat=True)
        values = {"name": name.first() or "–", "time": format_minute(mailing.approved_at)}
        said = _("Approved by %(name)s, %(time)s.") % values
        if is_mine:
            said = _("You approved it, %(time)s. Somebody else has to launch it.") % values
        return {"may_launch": may_launch and not is_mine, "approval": said}


def _needed(*, is_mine: bool) -> str:
    limit = clients(settings.MAILING_APPROVAL_ABOVE or 0)
    said = _(
        "A mailing to more than %(clients)s is launched only if somebody else has approved it."
    )
    do = _("You wrote this one: have somebody else look at this page.") if is_mine else ""
    return f"{said % {'clients': limit}} {do}".strip()


def _answered(found: Trial) -> tuple[str, int]:
    """Return what became of a test message, in words, and how good that is."""
    if found.outcome == Outcome.ACCEPTED:
        return _("The sender took the test message."), messages.SUCCESS
    words = {
        Outcome.REJECTED: _("The sender refuses this text or number: %(error)s"),
        Outcome.FAILED: _("The sender did not take the test message: %(error)s"),
        Outcome.UNCLEAR: _("Nobody knows whether the sender took the test message: %(error)s"),
    }
    return words[found.outcome] % {"error": found.error}, messages.ERROR


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
