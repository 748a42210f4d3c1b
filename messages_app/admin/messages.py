"""The console's pages of messages."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import ForeignKey, QuerySet
from django.forms import Field, ModelChoiceField
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from clients import phone_numbers
from clients.models import Client
from clients.querysets import MOST_WITH_AN_END
from messages_app import services
from messages_app.admin.filters import (
    ClientFilter,
    ErrorCodeFilter,
    MailingFilter,
    StandingFilter,
    StatusFilter,
)
from messages_app.admin.labels import attempt_table, describe, status_label
from messages_app.admin.many import deeds_for
from messages_app.admin.walked_list import WalkedChangeList
from messages_app.engine.doorbells import ring
from messages_app.models import ErrorCode, Message
from toolkit import clock
from toolkit.console.admin import ConsoleAdmin
from toolkit.console.confirming import Question
from toolkit.console.labels import format_number, format_second, join_names, link_to
from toolkit.console.lists import as_id

Status = Message.Status

ATTEMPTS_SHOWN = 100


class MailingField(ModelChoiceField):  # type: ignore[type-arg]  # generic only in its stubs
    """A choice among the mailings that are not over, shown with their text."""

    def __init__(self, queryset: Any, **kwargs: Any) -> None:
        super().__init__(queryset.accepting_messages(), **kwargs)

    def label_from_instance(self, obj: Any) -> str:
        """Return the beginning of the text along with the id."""
        return f"{obj}: {Truncator(obj.text).chars(80)}"


@admin.register(Message)
class MessageAdmin(ConsoleAdmin):
    """What became of every message. Only the mailing and client of a new one can be written."""

    new_title = _("New message")
    list_display = (
        "number",
        "mailing_link",
        "client_link",
        "state",
        "attempts",
        "sent",
        "next_attempt",
        "error_code",
    )
    list_display_links = ("number",)
    list_before_template = "admin/messages_app/message/tools.html"
    list_filter = (
        MailingFilter,
        ClientFilter,
        StandingFilter,
        ("status", StatusFilter),
        ErrorCodeFilter,
    )
    list_select_related = ("client",)
    sortable_by = ()  # newest first; no other order has an index on millions of rows
    search_fields = ("phone_number",)
    search_help_text = _("A phone number, its beginning or its last digits")
    autocomplete_fields = ("client",)
    actions = ("send_selected_again", "confirm_selected", "delete_selected")
    change_form_outer_before_template = "admin/messages_app/message/buttons.html"
    change_form_outer_after_template = "admin/messages_app/message/attempts.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "state",
                    "story",
                    "number",
                    "client_link",
                    "mailing_link",
                    "text",
                    "created",
                    "attempts",
                    "sent",
                    "next_attempt",
                    "error_code",
                    "is_manual",
                )
            },
        ),
    )
    add_fieldsets = ((None, {"fields": ("mailing", "client")}),)

    # The list

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[WalkedChangeList]:
        """Return the class of the list, which reads it along an index."""
        return WalkedChangeList

    def search(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Keep messages to clients whose phone number begins with a text, or else ends with it.

        Clients are searched first, because only their phone numbers have an index.
        """
        if not text:
            return queryset
        try:
            number, ends = phone_numbers.digits_of_part(text), phone_numbers.last_digits_of(text)
        except ValidationError:
            return queryset.none()
        clients = Client.objects.with_number_from(number)
        if clients.exists():
            return queryset.filter(client__in=clients)
        for end in ends:
            pks = Client.objects.with_last_digits(end).values_list("pk", flat=True)
            if some := list(pks[:MOST_WITH_AN_END]):
                return queryset.filter(client__in=some)
        # A whole number may be that of a client who was deleted since.
        return queryset.filter(client=None, phone_number=number)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, with the export of a mailing's results, and what is done to all of it."""
        deeds = deeds_for(request)
        context = {**_export_of(request), "deeds": deeds, **(extra_context or {})}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    @admin.display(description=_("phone number"))
    def number(self, message: Message) -> str:
        """Show the phone number it goes or went to."""
        number = message.known_number or (message.client.phone_number if message.client else "")
        return f"+{number}" if number else "–"

    @admin.display(description=_("mailing"))
    def mailing_link(self, message: Message) -> SafeString:
        """Show a link to the mailing."""
        return link_to(
            "mailings_mailing",
            message.mailing_id,
            gettext("Mailing %(id)s") % {"id": message.mailing_id},
        )

    @admin.display(description=_("client"))
    def client_link(self, message: Message) -> str:
        """Show a link to the client."""
        if not message.client:
            return gettext("deleted")
        return link_to(
            "clients_client",
            message.client_id,
            gettext("Client %(id)s") % {"id": message.client_id},
        )

    @admin.display(description=_("status"))
    def state(self, message: Message) -> SafeString:
        """Show the status as a coloured label."""
        return status_label(message)

    @admin.display(description=_("sent"))
    def sent(self, message: Message) -> str:
        """Show when the sender accepted it."""
        return format_second(message.sent_at)

    @admin.display(description=_("next attempt"))
    def next_attempt(self, message: Message) -> str:
        """Show when its next attempt is due."""
        return format_second(message.next_attempt_at)

    @admin.display(description=_("added"))
    def created(self, message: Message) -> str:
        """Show when it was added to the mailing."""
        return format_second(message.created_at)

    # The page of one

    def get_object(self, *args: Any, **kwargs: Any) -> Message | None:
        """Return a message; None if its mailing is deleted, though it is not cleared away yet."""
        message: Message | None = super().get_object(*args, **kwargs)
        return None if message and message.mailing.deleted_at else message

    @admin.display(description=_("in words"))
    def story(self, message: Message) -> str:
        """Show in words what became of it and what comes next."""
        return describe(message, clock.now())

    @admin.display(description=_("text"))
    def text(self, message: Message) -> str:
        """Show the text that it went out with; before it has, the mailing's."""
        return message.mailing.text_of(message.text_version if message.attempts else None)

    def has_change_permission(self, request: HttpRequest, obj: Message | None = None) -> bool:
        """Refuse to everybody: what became of a message cannot be edited."""
        return False

    def has_resend_permission(self, request: HttpRequest) -> bool:
        """Tell whether somebody may send failed messages again."""
        return self._may(request, "resend")

    def has_confirm_permission(self, request: HttpRequest) -> bool:
        """Tell whether somebody may say that messages arrived."""
        return self._may(request, "confirm")

    def _may(self, request: HttpRequest, deed: str) -> bool:
        is_allowed = request.user.has_perm(f"messages_app.{deed}_message")
        return is_allowed and bool(self.has_view_permission(request))

    def formfield_for_foreignkey(
        self, db_field: "ForeignKey[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> Field | None:
        """Offer the mailings that a message can still be added to."""
        if db_field.name == "mailing":
            kwargs["form_class"] = MailingField
        field: Field | None = super().formfield_for_foreignkey(db_field, request, **kwargs)
        return field

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Take the ids of a mailing and a client from the address, where they are valid ids."""
        asked = super().get_changeform_initial_data(request)
        return {name: value for name, value in asked.items() if as_id(str(value))}

    def save_model(self, request: HttpRequest, obj: Message, form: Any, change: bool) -> None:
        """Add a message by hand, and queue the task that sends it."""
        added = services.add_message(**form.cleaned_data, now=clock.now())
        obj.pk = added.pk
        transaction.on_commit(partial(ring, added.mailing_id))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Show the page, with the log of attempts and the buttons that fit."""
        context["show_delete"] = False  # The button that withdraws stands in its place.
        if message := context["original"]:
            context |= self._buttons(request, message) | self._attempts(message)
        return super().render_change_form(request, context, *args, **kwargs)

    def _buttons(self, request: HttpRequest, message: Message) -> dict[str, bool]:
        """Return which buttons this person sees on a message's page."""
        mailing, now = message.mailing, clock.now()
        has_failed, is_unsent = message.status == Status.FAIL, message.status != Status.SUCCESS
        can_be_resent = has_failed and mailing.is_running and now < mailing.stop_time
        is_unconfirmed = has_failed and message.error_code == ErrorCode.UNCONFIRMED
        return {
            "may_resend": can_be_resent and self.has_resend_permission(request),
            "may_confirm": is_unconfirmed and self.has_confirm_permission(request),
            "may_withdraw": is_unsent and self.has_delete_permission(request),
        }

    def _attempts(self, message: Message) -> dict[str, Any]:
        """Return the last ATTEMPTS_SHOWN attempts as a table, and whether earlier ones exist."""
        last = list(message.attempt_log.order_by("-number")[: ATTEMPTS_SHOWN + 1])
        shown = last[:ATTEMPTS_SHOWN][::-1]
        return {
            "attempts": attempt_table(shown) if shown else None,
            "has_earlier_attempts": len(last) > ATTEMPTS_SHOWN,
        }

    # What can be done

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses of the buttons that resend and confirm."""
        return [
            *(
                path(
                    f"<int:pk>/{verb}/",
                    self.admin_site.admin_view(require_POST(self.do)),
                    {"action": action, "verb": verb},
                    name=f"messages_app_message_{verb}",
                )
                for verb, action in (
                    ("resend", "send_selected_again"),
                    ("confirm", "confirm_selected"),
                )
            ),
            *super().get_urls(),
        ]

    def do(self, request: HttpRequest, pk: int, action: str, verb: str) -> HttpResponse:
        """Apply an action of the list to one message, and go back to its page."""
        message = self.get_object(request, str(pk))
        if message is None:
            raise Http404
        if not self._may(request, verb):
            raise PermissionDenied
        getattr(self, action)(request, [message])
        return redirect(self.page_of(pk))

    @admin.action(permissions=["resend"], description=_("Send selected again"))
    def send_selected_again(self, request: HttpRequest, messages: Iterable[Message]) -> None:
        """Make failed messages due again, now."""

        def send_again(message: Message) -> None:
            services.resend_message(message, now=clock.now())
            transaction.on_commit(partial(ring, message.mailing_id))

        self.apply_to_each(request, messages, send_again, gettext("will be sent again"))

    @admin.action(permissions=["confirm"], description=_("Mark selected as arrived"))
    def confirm_selected(self, request: HttpRequest, messages: Iterable[Message]) -> None:
        """Make unconfirmed messages a success, because the operator says that they arrived."""

        def confirm(message: Message) -> None:
            services.confirm_message(message, now=clock.now())

        self.apply_to_each(request, messages, confirm, gettext("marked as arrived"))

    @admin.action(permissions=["delete"], description=_("Withdraw selected"))
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Ask for confirmation, then withdraw the messages one by one."""
        return super().delete_selected(request, queryset)

    def delete_via_service(self, item: Message) -> None:
        """Withdraw a message that was not sent."""
        services.withdraw_message(item, now=clock.now())

    def facts_of_deletion(self, items: Sequence[Message]) -> list[str]:
        """Return what withdrawing messages means."""
        numbers = {"numbers": join_names([self.number(each) for each in items])}
        return [
            gettext("Never sent to %(numbers)s, nor planned for them again.") % numbers,
        ]

    def ask_to_delete(self, item: Message) -> Question:
        """Ask in the word of messages: they are withdrawn."""
        title = gettext("Withdraw %(message)s?") % {"message": item}
        return replace(super().ask_to_delete(item), title=title, deed=gettext("Withdraw"))

    def ask_to_delete_selected(self, items: Sequence[Message]) -> Question:
        """Ask in the word of messages: they are withdrawn."""
        number = {"number": format_number(len(items))}
        return replace(
            super().ask_to_delete_selected(items),
            title=gettext("Withdraw what is selected: %(number)s?") % number,
            deed=gettext("Withdraw %(number)s") % number,
        )

    def told_of_deletion(self, item: Message) -> str:
        """Tell in the word of messages."""
        return gettext("%(message)s is withdrawn.") % {"message": item}


def _export_of(request: HttpRequest) -> dict[str, str]:
    """Return the address from which REST exports what a list shows, where there is one."""
    given = request.GET.dict().items()
    asked = {name.removesuffix("__exact"): str(value) for name, value in given if value}
    mailing = as_id(asked.pop("mailing", ""))
    asked.pop("p", None)  # the page
    is_exported = asked.keys() <= {"status", "error_code"}
    if not (mailing and is_exported and request.user.has_perm("mailings.view_mailing")):
        return {}
    address = reverse("mailing-results", args=[mailing])
    query = f"?{urlencode(asked)}" if asked else ""
    return {"results_address": address + query, "exported_mailing": str(mailing)}
