"""What is done to mailings that cannot be taken back, or gives more time: asked about first."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from mailings import services
from mailings.admin import questions
from mailings.admin.forms import MoreTimeForm
from mailings.admin.questions import Counted
from mailings.models import Mailing
from mailings.tasks import apply_on_commit, confirm_on_commit
from toolkit import clock
from toolkit.console.admin import ConsoleAdmin
from toolkit.console.confirming import Question, confirm
from toolkit.console.labels import format_number

RESENDS = "resends"  # in the address of the form: the mailing of which it sends again what failed
REASON = "error_code"  # in the address of resending: only what failed for one of these reasons


class MailingEndingAdmin(ConsoleAdmin):
    """Cancels, finishes, resends, extends and deletes mailings, each after a question."""

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses of the questions."""
        wrap, name = self.admin_site.admin_view, "mailings_mailing_"
        return [
            path("<int:pk>/cancel/", wrap(self.cancel), name=f"{name}cancel"),
            path("<int:pk>/finish/", wrap(self.finish), name=f"{name}finish"),
            path("<int:pk>/resend/", wrap(self.resend), name=f"{name}resend"),
            path("<int:pk>/confirm/", wrap(self.arrived), name=f"{name}confirm"),
            path("<int:pk>/extend/", wrap(self.extend), name=f"{name}extend"),
            *super().get_urls(),
        ]

    def cancel(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask, then end a mailing for good."""
        mailing = self._to_change(request, pk)
        ask = partial(questions.ask_to_cancel, mailing, back=self.page_of(pk))

        def do() -> str:
            facts = questions.facts_of_cancelling(Counted.of([mailing]))
            apply_on_commit(services.cancel_mailing(mailing))
            return " ".join([gettext("%(mailing)s is cancelled.") % {"mailing": mailing}, *facts])

        return self._confirm(request, pk, ask=ask, do=do)

    def finish(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask, then end a mailing of which all is sent."""
        mailing = self._to_change(request, pk)
        ask = partial(questions.ask_to_finish, mailing, back=self.page_of(pk))

        def do() -> str:
            ended = services.end_mailing(mailing)
            said = gettext("%(mailing)s is finished: %(sent)s sent, %(failed)s failed.")
            return said % {
                "mailing": mailing,
                "sent": format_number(ended.success_count),
                "failed": format_number(ended.fail_count),
            }

        return self._confirm(request, pk, ask=ask, do=do)

    def resend(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask, then send again what failed for good: all, or ?error_code=… for these reasons.

        Once the mailing is over, that is a new one, which is written and reviewed as any other.
        """
        mailing = self._to_change(request, pk)
        if not self.has_launch_permission(request):
            raise PermissionDenied
        if mailing.is_over_at(clock.now()) and self.may_resend_as_new(request):
            return redirect(f"{self.address_of('add')}?{RESENDS}={pk}&{request.GET.urlencode()}")
        codes = request.GET.getlist(REASON)  # of an unknown one there are none
        ask = partial(questions.ask_to_resend, mailing, codes=codes, back=self.page_of(pk))

        def do() -> str:
            number = services.resend_failed(mailing, codes=codes)
            apply_on_commit(mailing)
            return questions.told_of_resending(number)

        return self._confirm(request, pk, ask=ask, do=do)

    def arrived(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask, then have all messages count as sent of which nobody knows whether they arrived."""
        if not self.may_confirm(request):
            raise PermissionDenied
        mailing = self._get(request, pk)
        ask = partial(questions.ask_to_confirm, mailing, back=self.page_of(pk))

        def do() -> str:
            number = services.confirm_unconfirmed(mailing, now=clock.now())
            confirm_on_commit(mailing)
            return questions.told_of_confirming(number)

        return self._confirm(request, pk, ask=ask, do=do)

    def extend(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Give a mailing more time; ask first if that makes messages due again that failed.

        GET asks in any case, about the time that is in the address.
        """
        mailing = self._to_change(request, pk)
        form = MoreTimeForm(request.POST or request.GET)

        def ask() -> Question:
            stop_time = form.stop_time_of(mailing)
            question = questions.ask_to_extend(mailing, stop_time=stop_time, back=self.page_of(pk))
            return replace(question, fields=form.sent)

        def do() -> str:
            stop_time = form.stop_time_of(mailing)
            apply_on_commit(services.extend_mailing(mailing, stop_time=stop_time, now=clock.now()))
            return questions.told_of_extending(stop_time)

        return self._confirm(request, pk, ask=ask, do=do)

    @admin.action(permissions=["change"], description=_("Cancel selected for good"))
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Mailing]) -> HttpResponse:
        """Ask, then cancel mailings for good; messages that are not in flight fail."""
        mailings = list(queryset)

        def cancel(mailing: Mailing) -> None:
            apply_on_commit(services.cancel_mailing(mailing))

        return self.ask_first(
            request,
            "cancel_selected",
            mailings,
            ask=partial(questions.ask_to_cancel_selected, mailings),
            do=partial(self.apply_to_each, request, mailings, cancel, gettext("cancelled")),
        )

    # Deleting

    def ask_to_delete(self, item: Mailing) -> Question:
        """Ask with what goes with a mailing; what others need still is refused at once."""
        return questions.ask_to_delete(item, back=self.page_of(item.pk))

    def facts_of_deletion(self, items: Sequence[Mailing]) -> list[str]:
        """Return what goes with mailings."""
        return questions.facts_of_deleting(Counted.of(items))

    def told_of_deletion(self, item: Mailing) -> str:
        """Tell what went with it."""
        number = Counted.of([item]).total
        said = ngettext(
            "%(mailing)s is deleted, and its %(number)s message with it.",
            "%(mailing)s is deleted, and its %(number)s messages with it.",
            number,
        )
        return said % {"mailing": item, "number": format_number(number)}

    def delete_via_service(self, item: Mailing) -> None:
        """Delete a mailing with its messages, unless it is running."""
        apply_on_commit(services.delete_mailing(item, now=clock.now()))

    # What all pages of one mailing need

    def _to_change(self, request: HttpRequest, pk: int) -> Mailing:
        """Return a mailing, to those who may change mailings; also one that is over.

        Raises:
            Http404: there is none.
            PermissionDenied: whoever asks may not.
        """
        if not self.has_change_permission(request):
            raise PermissionDenied
        return self._get(request, pk)

    def _get(self, request: HttpRequest, pk: int) -> Mailing:
        mailing: Mailing | None = self.get_object(request, str(pk))
        if mailing is None:
            raise Http404
        return mailing

    def may_launch(self, request: HttpRequest) -> bool:
        """Tell whether somebody may have messages go out, of mailings that they may save."""
        return bool(request.user.has_perm("mailings.launch_mailing"))

    def may_resend_as_new(self, request: HttpRequest) -> bool:
        """Tell whether somebody may make a new mailing to those to whom another one failed."""
        return self.has_add_permission(request) and self.may_launch(request)

    def may_confirm(self, request: HttpRequest) -> bool:
        """Tell whether somebody may say that messages arrived."""
        rights = ("messages_app.view_message", "messages_app.confirm_message")
        return self.has_view_permission(request) and request.user.has_perms(rights)

    def has_launch_permission(self, request: HttpRequest) -> bool:
        """Tell whether somebody may launch or resume mailings, and send again what failed."""
        return self.has_change_permission(request) and self.may_launch(request)

    def _confirm(
        self,
        request: HttpRequest,
        pk: int,
        *,
        ask: Callable[[], Question],
        do: Callable[[], str],
    ) -> HttpResponse:
        """Ask; or do it, and tell on the mailing's page what has happened."""

        def done() -> HttpResponse:
            self.message_user(request, do(), messages.SUCCESS)
            return redirect(self.page_of(pk))

        return confirm(self, request, ask=ask, do=done, back=self.page_of(pk))
