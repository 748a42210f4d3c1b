"""What is done at once to all mailings that a list finds, or to all in which messages failed.

It is asked first, with the numbers. One order takes so many mailings and so long at most, each in a
transaction of its own; if there are more it says so, and is given again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext

from mailings import services
from mailings.admin import questions
from mailings.admin.ending import REASON, MailingEndingAdmin
from mailings.confirming import unconfirmed_in
from mailings.models import Mailing
from mailings.stats import balances_of
from mailings.tasks import apply_on_commit, confirm_on_commit
from messages_app.ledger.accounts import FAIL
from messages_app.models import Balance, ErrorCode
from messages_app.stats import failures
from toolkit import clock
from toolkit.clock import monotonic
from toolkit.console.confirming import Question, confirm, stamp_of
from toolkit.console.labels import join_names
from toolkit.console.numbers import number

LIMIT = 200  # mailings that one order takes
TIME_BOX = 2.0  # seconds after which it begins with no other
MESSAGES = "admin:messages_app_message_changelist"
Status = Mailing.Status


def resume(mailing: Mailing) -> Mailing:
    """Resume a mailing now."""
    return services.resume_mailing(mailing, now=clock.now())


class Order(NamedTuple):
    """What can be done to all mailings that a list finds, and to those in which statuses."""

    run: Callable[[Mailing], Mailing]
    done: str  # what it did to a mailing, in a word
    statuses: tuple[Status, ...]
    link: Any  # what the link of the list says; lazy
    title: Any  # what is asked
    button: Any


ORDERS = {
    "pause": Order(
        services.pause_mailing,
        gettext_noop("paused"),
        (Status.SCHEDULED, Status.RUNNING),
        gettext_lazy("Pause all that is found…"),
        gettext_lazy("Pause all mailings that are found?"),
        gettext_lazy("Pause %(number)s"),
    ),
    "resume": Order(
        resume,
        gettext_noop("resumed"),
        (Status.PAUSED,),
        gettext_lazy("Resume all that is found…"),
        gettext_lazy("Resume all mailings that are found?"),
        gettext_lazy("Resume %(number)s"),
    ),
    "cancel": Order(
        services.cancel_mailing,
        gettext_noop("cancelled"),
        (Status.SCHEDULED, Status.RUNNING, Status.PAUSED),
        gettext_lazy("Cancel all that is found…"),
        gettext_lazy("Cancel all mailings that are found for good?"),
        gettext_lazy("Cancel %(number)s for good"),
    ),
}


class MailingManyAdmin(MailingEndingAdmin):
    """Pauses, resumes and cancels all that is found; resends and confirms in all mailings."""

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses of the questions."""
        wrap, name = self.admin_site.admin_view, "mailings_mailing_"
        return [
            *(
                path(f"all/{order}/", wrap(self.order), {"order": order}, name=f"{name}{order}_all")
                for order in ORDERS
            ),
            path("all/resend/", wrap(self.resend_all), name=f"{name}resend_all"),
            path("all/confirm/", wrap(self.confirm_all), name=f"{name}confirm_all"),
            *super().get_urls(),
        ]

    def orders_for(self, request: HttpRequest) -> Iterator[tuple[str, str]]:
        """Yield (address, what it says) of what somebody may do to all that the list finds."""
        query = request.GET.copy()
        query.pop("p", None)  # the page
        for name, order in ORDERS.items():
            if self._may_order(request, name):
                page = self.address_of(f"{name}_all")
                yield f"{page}?{query.urlencode()}" if query else page, str(order.link)

    def order(self, request: HttpRequest, order: str) -> HttpResponse:
        """Ask, then pause, resume or cancel all mailings that the list finds by its parameters."""
        if not self._may_order(request, order):
            raise PermissionDenied
        what = ORDERS[order]
        try:
            found = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return redirect(self.address_of("changelist"))
        mailings = list(found.filter(status__in=what.statuses)[: LIMIT + 1])

        def ask(concerned: Sequence[Mailing]) -> Question:
            count = {"number": number(len(concerned))}
            is_final = order == "cancel"
            counted = questions.Counted.of(concerned) if is_final else None
            return Question(
                title=str(what.title),
                facts=questions.facts_of_cancelling(counted) if counted else [],
                deed=what.button % count,
                keep=_("Leave them as they are"),
                stamp=counted.stamp if counted else stamp_of([each.pk for each in concerned]),
                is_final=is_final,
            )

        def do(mailing: Mailing) -> None:
            apply_on_commit(what.run(mailing))

        back = f"{self.address_of('changelist')}?{request.GET.urlencode()}"
        return self._order(request, mailings, ask=ask, do=do, done=_(what.done), back=back)

    def resend_all(self, request: HttpRequest) -> HttpResponse:
        """Ask, then send again what failed for good in all that run: all, or ?error_code=…."""
        if not self.has_launch_permission(request):
            raise PermissionDenied
        codes = request.GET.getlist(REASON)
        running = list(Mailing.objects.filter(status=Status.RUNNING)[: LIMIT + 1])
        failed = {
            pk: sum(n for code, n in failures(found).items() if not codes or code in codes)
            for pk, found in balances_of(running).items()
        }

        def do(mailing: Mailing) -> None:
            services.resend_failed(mailing, codes=codes)
            apply_on_commit(mailing)

        return self._order(
            request,
            [mailing for mailing in running if failed[mailing.pk]],
            ask=partial(_ask_to_resend, failed),
            do=do,
            done=_("told to send again what failed"),
            back=reverse(MESSAGES),
        )

    def confirm_all(self, request: HttpRequest) -> HttpResponse:
        """Ask, then have all messages of all mailings count as sent of which nobody knows."""
        if not self.may_confirm(request):
            raise PermissionDenied
        unknown = Balance.objects.filter(
            mailing_id=OuterRef("pk"),
            account__startswith=f"{FAIL}|{ErrorCode.UNCONFIRMED}|",
            number__gt=0,
        )
        mailings = list(Mailing.objects.filter(Exists(unknown))[: LIMIT + 1])

        def do(mailing: Mailing) -> None:
            services.confirm_unconfirmed(mailing, now=clock.now())
            confirm_on_commit(mailing)

        return self._order(
            request,
            mailings,
            ask=_ask_to_confirm,
            do=do,
            done=_("told that all has arrived"),
            back=reverse(MESSAGES),
        )

    def _may_order(self, request: HttpRequest, order: str) -> bool:
        may_launch = order != "resume" or self.may_launch(request)
        return self.has_change_permission(request) and may_launch

    def _order(
        self,
        request: HttpRequest,
        mailings: Sequence[Mailing],
        *,
        ask: Callable[[Sequence[Mailing]], Question],
        do: Callable[[Mailing], None],
        done: str,
        back: str,
    ) -> HttpResponse:
        """Ask; or do it to each of the first mailings, and tell to how many, and if there are more.

        Of the mailings there may be more than LIMIT: these are not asked about.
        """
        concerned, taken = mailings[:LIMIT], 0

        def ask_about_these() -> Question:
            if not concerned:
                raise ValidationError(_("There is no mailing with which that could be done."))
            question = ask(concerned)
            facts = [_concerned(concerned, is_more=len(mailings) > LIMIT), *question.facts]
            return replace(question, facts=facts, back=back)

        def do_in_time() -> HttpResponse:
            self.apply_to_each(request, in_time(monotonic() + TIME_BOX), do, done)
            if taken < len(mailings):
                more = _("There are more, to which that was not done. Do it again for them.")
                self.message_user(request, more, messages.WARNING)
            return redirect(back)

        def in_time(ends_at: float) -> Iterator[Mailing]:
            nonlocal taken
            for mailing in concerned:
                if taken and monotonic() > ends_at:
                    return
                taken += 1
                yield mailing

        return confirm(self, request, ask=ask_about_these, do=do_in_time, back=back)


def _concerned(mailings: Sequence[Mailing], *, is_more: bool) -> str:
    """Return which mailings an order is about."""
    count = len(mailings)
    text = ngettext("%(number)s mailing: %(names)s.", "%(number)s mailings: %(names)s.", count)
    names = {"number": number(count), "names": join_names([str(each) for each in mailings])}
    first = _("There are more; these come first.") if is_more else ""
    return f"{text % names} {first}".rstrip()


def _ask_to_resend(failed: dict[int, int], mailings: Sequence[Mailing]) -> Question:
    count = sum(failed[mailing.pk] for mailing in mailings)
    return Question(
        title=_("Send again what failed in all mailings that run?"),
        facts=[questions.told_of_resending(count)],
        deed=_("Send %(number)s again") % {"number": number(count)},
        keep=_("Leave them as they are"),
        stamp=stamp_of([mailing.pk for mailing in mailings]),
        is_final=False,
    )


def _ask_to_confirm(mailings: Sequence[Mailing]) -> Question:
    count = sum(unconfirmed_in(mailing) for mailing in mailings)
    return Question(
        title=_("Have all arrived of which nobody knows, in all mailings?"),
        facts=[questions.told_of_confirming(count)],
        deed=_("They have arrived: %(number)s") % {"number": number(count)},
        keep=_("Leave them as they are"),
        stamp=stamp_of(count),
    )
