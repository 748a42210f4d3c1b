"""The console's page of logins that failed: who is locked out, until when, and the way back in."""

from datetime import timedelta
from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum, Window
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from toolkit.access.logins import NAMES
from toolkit.console.labels import format_number, format_second, label
from toolkit.console.lists import CappedPaginator, SafeListAdmin
from toolkit.console.read_only import ReadOnlyPages
from toolkit.history.models import Deed
from toolkit.history.recording import many, record_deed

LIST = "admin:axes_accessattempt_changelist"


@admin.register(AccessAttempt)
class FailedLoginAdmin(ReadOnlyPages, SafeListAdmin):
    """Logins that failed lately. Whoever may change users lets somebody in again."""

    list_display = ("name", "address", "failures", "last", "state", "let_in")
    list_display_links = None
    list_before_template = "admin/logins/about.html"
    sortable_by = ()
    ordering = ("-attempt_time",)
    actions = None
    paginator = CappedPaginator
    show_full_result_count = False

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the button."""
        unlock = self.admin_site.admin_view(require_POST(self.unlock))
        own = path("<int:pk>/unlock/", unlock, name="axes_accessattempt_unlock")
        return [own, *super().get_urls()]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for what seeing users needs."""
        return bool(request.user.has_perm("auth.view_user"))

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Lead to the list, which says all."""
        return redirect(LIST)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list under its name."""
        page: HttpResponse = super().changelist_view(
            request, {"title": _("Failed logins"), **(extra_context or {})}
        )
        return page

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessAttempt]:
        """Return the failures that still count, each with the sums of its name and address."""
        since = timezone.now() - settings.AXES_COOLOFF_TIME
        lately: QuerySet[AccessAttempt] = super().get_queryset(request)
        failures = Sum("failures_since_start")
        counting = lately.filter(attempt_time__gte=since)
        return counting.annotate(  # type: ignore[no-any-return]  # axes has no types
            with_name=Window(failures, partition_by=[F("username"), F("ip_address")]),
            from_address=Window(failures, partition_by=[F("ip_address")]),
            is_known=Exists(User.objects.filter(username=OuterRef("username"))),
        )

    def get_list_display(self, request: HttpRequest) -> Any:
        """Offer to let in to those who may."""
        return self.list_display if _may_let_in(request) else self.list_display[:-1]

    def unlock(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Forget the failures with a name, and those from its address."""
        if not _may_let_in(request):
            raise PermissionDenied
        attempt = AccessAttempt.objects.filter(pk=pk).first()
        if attempt:
            let_in(attempt)
        said = gettext("Whoever it was may try again now.")
        self.message_user(request, said, messages.SUCCESS)
        return redirect(LIST)

    @admin.display(description=_("name"))
    def name(self, attempt: Any) -> str:
        """Show the name, if somebody has it: else it may be a password in the wrong field."""
        return str(attempt.username) if attempt.is_known else gettext("an unknown name")

    @admin.display(description=_("address"))
    def address(self, attempt: AccessAttempt) -> str:
        """Show from where it was tried."""
        return str(attempt.ip_address or "–")

    @admin.display(description=_("failures"))
    def failures(self, attempt: AccessAttempt) -> str:
        """Show how often it failed."""
        return format_number(attempt.failures_since_start)

    @admin.display(description=_("last failure"))
    def last(self, attempt: AccessAttempt) -> str:
        """Show when it last failed."""
        return format_second(attempt.attempt_time)

    @admin.display(description=_("state"))
    def state(self, attempt: Any) -> SafeString:
        """Show whether a login is refused, and until when."""
        limit = settings.AXES_FAILURE_LIMIT
        wait: timedelta = settings.AXES_COOLOFF_TIME
        until = format_second(attempt.attempt_time + wait)
        if attempt.with_name >= limit:
            until_then = gettext("until %(time)s") % {"time": until}
            return format_html("{} {}", label(gettext("locked out"), "danger"), until_then)
        if attempt.from_address >= limit * NAMES:
            return label(gettext("the address is locked out"), "danger")
        return label(gettext("may try again"), "info")

    @admin.display(description=_("Let in"))
    def let_in(self, attempt: AccessAttempt) -> str:
        """Show the button that forgets the failures."""
        context = {"attempt": attempt, "name": self.name(attempt)}
        return render_to_string("admin/logins/let_in.html", context)


def let_in(attempt: AccessAttempt) -> None:
    """Forget failures with a name and those from its address, with its history."""
    user = User.objects.filter(username=attempt.username).first()
    with transaction.atomic():
        same = Q(username=attempt.username) | Q(ip_address=attempt.ip_address)
        AccessAttempt.objects.filter(same).delete()
        # Of a name that nobody has, nothing is told: it may be a password in the wrong field.
        record_deed(
            Deed.CHANGED, user or many(AccessAttempt), changes={"locked_out": [True, False]}
        )


def _may_let_in(request: HttpRequest) -> bool:
    return bool(request.user.has_perm("auth.change_user"))
