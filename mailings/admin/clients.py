"""A client's page with their whole story, told by the rooms above that of clients."""

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from clients.admin import ClientAdmin
from clients.models import Client
from mailings.explaining import Explanation, Verdict, explain
from mailings.models import Mailing
from mailings.story import story_of
from messages_app.admin.labels import describe, status_label
from messages_app.erasing import erase_client
from toolkit import clock
from toolkit.console.confirming import Question, confirm
from toolkit.console.labels import format_number, format_second, label
from toolkit.console.lists import as_id

SUGGESTED = 20  # mailings whose ids are proposed
COLOURS = {
    Verdict.SENT: "success",
    Verdict.FAILED: "danger",
    Verdict.WILL_NOT_BE_SENT: "danger",
    Verdict.HELD: "warning",
}

admin.site.unregister(Client)


@admin.register(Client)
class ClientStoryAdmin(ClientAdmin):
    """Clients, each with every message that any mailing had for them."""

    change_form_outer_after_template = "admin/mailings/client/story.html"

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Show the page, with the client's story for those who may see messages."""
        if client := context["original"]:
            context["may_erase"] = self.has_erase_permission(request)
            if request.user.has_perms(("messages_app.view_message", "mailings.view_mailing")):
                context |= self._story(request, client) | self._why(request, client)
        return super().render_change_form(request, context, *args, **kwargs)

    def _story(self, request: HttpRequest, client: Client) -> dict[str, Any]:
        """Return a page of the client's messages in words."""
        now = clock.now()
        before = as_id(request.GET.get("before", ""))
        story = story_of(client, before=before)
        rows = [
            {
                "message": chapter.message,
                "text": chapter.text,
                "state": status_label(chapter.message),
                "told": describe(chapter.message, now),
                "at": format_second(chapter.message.sent_at or chapter.message.created_at),
            }
            for chapter in story.chapters
        ]
        return {"story": story, "chapters": rows, "is_later_page": before is not None}

    def _why(self, request: HttpRequest, client: Client) -> dict[str, Any]:
        """Return why a mailing did or did not reach the client, if that was asked."""
        present = Mailing.objects.filter(deleted_at=None).order_by("-pk")
        context: dict[str, Any] = {"suggested": present[:SUGGESTED]}
        if asked := request.GET.get("why", "").strip():
            pk = as_id(asked.removeprefix("#"))
            mailing = present.filter(pk=pk).first() if pk else None
            context |= {"asked": asked, "asked_mailing": mailing}
            if mailing:
                context |= _in_words(explain(mailing, client, now=clock.now()))
        return context

    # Erasing

    def has_erase_permission(self, request: HttpRequest) -> bool:
        """Tell whether somebody may erase clients everywhere."""
        return request.user.has_perm("clients.erase_client")

    def get_urls(self) -> list[URLPattern]:
        """Add the address that erases."""
        erase = self.admin_site.admin_view(self.erase)
        return [path("<int:pk>/erase/", erase, name="clients_client_erase"), *super().get_urls()]

    def erase(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask for confirmation, then delete a client and its number wherever that is kept."""
        client = self.get_object(request, str(pk))
        if client is None:
            raise Http404
        if not self.has_erase_permission(request):
            raise PermissionDenied
        return confirm(
            self,
            request,
            ask=partial(self._ask_to_erase, client),
            do=partial(self._erase, request, client),
            back=self.page_of(pk),
        )

    def _ask_to_erase(self, client: Client) -> Question:
        number = story_of(client).number
        kept = ngettext(
            "%(number)s message stays without the number, so that all counts stay true; if it was "
            "never handed to the sender, it is withdrawn.",
            "%(number)s messages stay without the number, so that all counts stay true; those "
            "never handed to the sender are withdrawn.",
            number,
        )
        return Question(
            title=_("Erase %(client)s?") % {"client": client},
            facts=[
                _(
                    "%(client)s is deleted, and its number is forgotten wherever it is kept: in "
                    "messages, history and answers of the API."
                )
                % {"client": client},
                kept % {"number": format_number(number)},
                _(
                    "Backups are not reached, nor the rejected rows of imports until those are "
                    "deleted."
                ),
            ],
            deed=_("Erase everywhere"),
            keep=_("Keep the client"),
            back=self.page_of(client.pk),
        )

    def _erase(self, request: HttpRequest, client: Client) -> HttpResponse:
        erase_client(client)
        done = _("The client is erased: nothing that is kept tells who it was.")
        self.message_user(request, done, messages.SUCCESS)
        return redirect(self.address_of("changelist"))


def _in_words(found: Explanation) -> dict[str, Any]:
    return {
        "why": found,
        "verdict": label(str(found.verdict.label), COLOURS.get(found.verdict, "info")),
        "next_attempt": format_second(found.next) if found.next else "",
    }
