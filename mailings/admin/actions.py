"""What a mailing's page has beside its form: the panel and the buttons."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from mailings import services
from mailings.admin.ending import REASON, RESENDS
from mailings.admin.many import MailingManyAdmin, resume
from mailings.admin.overview import live_overview
from mailings.admin.panel import TEMPLATES, Seen, live_panel, look_at
from mailings.admin.reasons import Answers
from mailings.admin.rows import live_rows, rows_of
from mailings.models import Mailing
from mailings.statements.proving import handed_out, last_statement
from mailings.tasks import apply_on_commit
from messages_app.admin.now import sending_now
from messages_app.admin.sender import banner_parts
from messages_app.stats import failures
from toolkit.console.lists import as_id
from toolkit.console.live import Live
from toolkit.console.numbers import moment

# What is done at once, for it can be taken back.
# {name in the button's address: (service, what it did to the mailing, in a word)}
ACTIONS: dict[str, tuple[Callable[[Mailing], Mailing], str]] = {
    "pause": (services.pause_mailing, gettext_noop("paused")),
    "resume": (resume, gettext_noop("resumed")),
}


class MailingActionsAdmin(MailingManyAdmin):
    """A mailing's panel; buttons for one mailing, actions for the selected."""

    actions = ("pause_selected", "resume_selected", "cancel_selected", "delete_selected")

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses of the panel and the buttons."""
        wrap = self.admin_site.admin_view
        return [
            path("overview/", wrap(self.show_overview), name="mailings_mailing_overview"),
            path("rows/", wrap(self.show_rows), name="mailings_mailing_rows"),
            path("<int:pk>/panel/", wrap(self.show_panel), name="mailings_mailing_panel"),
            path(
                "<int:pk>/statement/", wrap(self.show_statement), name="mailings_mailing_statement"
            ),
            *(
                path(
                    f"<int:pk>/{action}/",
                    wrap(require_POST(self.do)),
                    {"action": action},
                    name=f"mailings_mailing_{action}",
                )
                for action in ACTIONS
            ),
            *super().get_urls(),
        ]

    def show_panel(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer with the panel as it is now; the page asks again until the mailing is closed."""
        mailing = self._get(request, pk)
        if not self.has_view_permission(request, mailing):
            raise PermissionDenied
        return self.live_of(request, mailing, is_full="full" in request.GET).answer(request)

    def show_statement(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer with the last statement of a mailing, as a file."""
        mailing = self._get(request, pk)
        if not self.has_view_permission(request, mailing):
            raise PermissionDenied
        statement = last_statement(mailing)
        if statement is None:
            raise Http404
        parameters = {"indent": 2, "ensure_ascii": False}
        answer = JsonResponse(handed_out(statement), json_dumps_params=parameters)
        name = f"statement-{mailing.pk}-{statement.number}.json"
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer

    def show_rows(self, request: HttpRequest) -> HttpResponse:
        """Answer with what of the rows of a list is kept up to date: ?ids=1,2,3."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        ids = filter(None, map(as_id, request.GET.get("ids", "").split(",")[: self.list_per_page]))
        mailings = list(self.get_queryset(request).filter(pk__in=list(ids)))
        rows = rows_of(mailings, sending_now(request))
        return live_rows(rows, banner_parts(request)).answer(request)

    def show_overview(self, request: HttpRequest) -> HttpResponse:
        """Answer with the parts of the first page as they are now."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return live_overview(request).answer(request)

    def do(self, request: HttpRequest, pk: int, action: str) -> HttpResponse:
        """Do to a mailing what its button says, and go back to its page."""
        mailing = self._get(request, pk)
        if not self.has_change_permission(request, mailing):
            raise PermissionDenied
        if action == "resume" and not self.has_launch_permission(request):
            raise PermissionDenied
        self._do_to_each(request, [mailing], action)
        return redirect(self.page_of(pk))

    @admin.action(permissions=["change"], description=_("Pause selected"))
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Mailing]) -> None:
        """Pause mailings: nothing more of them is sent until they are resumed."""
        self._do_to_each(request, queryset, "pause")

    @admin.action(permissions=["launch"], description=_("Resume selected"))
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Mailing]) -> None:
        """Resume paused mailings."""
        self._do_to_each(request, queryset, "resume")

    def _do_to_each(self, request: HttpRequest, mailings: Iterable[Mailing], action: str) -> None:
        run, done = ACTIONS[action]

        def do(mailing: Mailing) -> None:
            apply_on_commit(run(mailing))

        self.apply_to_each(request, mailings, do, gettext(done))

    def live_of(self, request: HttpRequest, mailing: Mailing, *, is_full: bool) -> Live:
        """Return the parts of a mailing's page that are kept up to date."""
        seen = look_at(mailing, sending_now(request))
        panel = {"panel": self.buttons_of(request, mailing, seen)}
        return live_panel(
            seen,
            banner=banner_parts(request),
            buttons=render_to_string(f"{TEMPLATES}/buttons.html", panel, request),
            answers=self._answers_to(request, mailing, seen.now),
            is_full=is_full,
        )

    def buttons_of(self, request: HttpRequest, mailing: Mailing, seen: Seen) -> dict[str, Any]:
        """Return which buttons a mailing's page has now, and what they ask."""
        failed = sum(failures(seen.found).values())
        may_change = not mailing.is_ended and self.has_change_permission(request, mailing)
        is_over = mailing.is_over_at(seen.now)
        stop = seen.headline.stop_would_do
        return {
            "mailing": mailing,
            "number": str(mailing.pk),
            "is_complete": seen.progress.is_complete,
            "failed_for_good": failed,
            "may_resend_as_new": is_over and self.may_resend_as_new(request),
            "may_change": may_change,
            "may_launch": self.may_launch(request),
            "may_extend": may_change and not is_over,
            "later_stop": stop and moment(stop, seen.now),
            "move_stop": stop and f"?{urlencode({'stop_time': stop.isoformat()})}",
            "stops": f"{timezone.localtime(mailing.stop_time):%Y-%m-%dT%H:%M}",
        }

    def _answers_to(self, request: HttpRequest, mailing: Mailing, now: datetime) -> Answers:
        """Return where somebody answers to failures of a mailing."""
        again = ""
        if mailing.is_over_at(now):
            if self.may_resend_as_new(request):
                again = f"{self.address_of('add')}?{RESENDS}={mailing.pk}&{REASON}="
        elif mailing.is_running and self.has_launch_permission(request):
            again = f"{self.address_of('resend', mailing.pk)}?{REASON}="
        arrived = self.address_of("confirm", mailing.pk) if self.may_confirm(request) else ""
        return Answers(again, arrived, is_new=mailing.is_over_at(now))
