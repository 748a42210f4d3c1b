"""The console's pages of webhooks and of what was delivered to them."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import DropdownFilter
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from toolkit import clock
from toolkit.console.admin import ConsoleAdmin, ConsoleForm
from toolkit.console.confirming import Question, confirm
from toolkit.console.labels import format_second, label, link_to, sentence
from toolkit.console.read_only import ReadOnlyPages
from toolkit.console.secrets import Secret, show_secret
from webhooks import services
from webhooks.models import TEST, Delivery, EventName, Webhook
from webhooks.payloads import PayloadGoneError, body_of

COLOURS = {"pending": "info", "delivered": "success", "failed": "danger"}
STATES = {
    "pending": _("waiting"),
    "delivered": _("delivered"),
    "failed": _("given up"),
}
EVENTS = {
    EventName.STARTED: _("A mailing has started"),
    EventName.PAUSED: _("A mailing was paused"),
    EventName.RESUMED: _("A mailing was resumed"),
    EventName.FINISHED: _("A mailing is finished"),
    EventName.CANCELLED: _("A mailing was cancelled"),
    EventName.CHANGED: _("Messages have changed"),
    EventName.HELD: _("Something holds all sending back"),
    EventName.RELEASED: _("Sending goes on"),
}
BODY_SHOWN = 2_000  # characters of what was posted


class WebhookForm(ConsoleForm):
    """A webhook, with its events to be ticked."""

    events = forms.MultipleChoiceField(
        label=_("What it is told"),
        choices=[(name.value, f"{words} ({name.value})") for name, words in EVENTS.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    class Meta:
        model = Webhook
        fields = ("url", "events", "is_active")
        labels: ClassVar = {"url": _("Address"), "is_active": _("Switched on")}
        help_texts: ClassVar = {
            "url": _("Where events are posted, such as https://crm.example.com/hooks."),
            "is_active": _(
                "Off: nothing is posted. Switched on again, it goes on where it stopped."
            ),
        }


@admin.register(Webhook)
class WebhookAdmin(ConsoleAdmin):
    """Webhooks. A secret is shown when it is made, and never again."""

    form = WebhookForm
    new_title = _("New webhook")
    list_display = ("address", "told", "health", "log")
    sortable_by = ()
    search_fields = ("url",)
    search_help_text = _("A part of the address")
    fields = ("url", "events", "is_active")
    change_form_outer_before_template = "admin/webhooks/webhook/panel.html"

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses of the buttons."""
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/test/", wrap(require_POST(self.test)), name="webhooks_webhook_test"),
            path("<int:pk>/rotate/", wrap(self.rotate), name="webhooks_webhook_rotate"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Webhook]:
        """Return the webhooks that are not deleted."""
        return Webhook.objects.present()

    def search(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Keep webhooks with a text in their address; there are few."""
        return queryset.filter(url__icontains=text) if text else queryset

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], **kwargs: Any
    ) -> HttpResponse:
        """Show the state and the buttons above the form of a webhook that is there."""
        webhook: Webhook | None = kwargs.get("obj")
        if webhook:
            may_change = self.has_change_permission(request, webhook)
            context["panel"] = {
                "webhook": webhook,
                "state": self.health(webhook),
                "log": self.log(webhook),
                "former_until": _former_until(webhook),
                "may_change": may_change,
                "may_test": may_change and webhook.is_active,
            }
        page: HttpResponse = super().render_change_form(request, context, **kwargs)
        return page

    def test(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Post a test event, and say where its fate is seen."""
        webhook = self._to_change(request, pk)
        try:
            delivery = services.try_webhook(webhook, now=clock.now())
        except ValidationError as refusal:
            self.message_user(request, sentence(refusal), messages.ERROR)
            return redirect(self.page_of(pk))
        said = gettext("A test event is on its way. This page says what came of it.")
        self.message_user(request, said, messages.SUCCESS)
        return redirect("admin:webhooks_delivery_change", delivery.pk)

    def rotate(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask, then give a webhook a new secret and show it, this once."""
        webhook = self._to_change(request, pk)

        def do() -> HttpResponse:
            secret = services.rotate_secret(webhook, now=clock.now())
            return self._show(request, webhook, secret, is_new=False)

        ask = partial(self._ask_to_rotate, webhook)
        return confirm(self, request, ask=ask, do=do, back=self.page_of(pk))

    def _ask_to_rotate(self, webhook: Webhook) -> Question:
        facts = [
            gettext(
                "The new secret is shown to you once. For a day calls are signed with both, so "
                "that the receiver can be given the new one meanwhile; then the old one signs no "
                "more."
            )
        ]
        if until := _former_until(webhook):
            ends = gettext(
                "The secret was replaced already: the one of before still signs until %(time)s, "
                "and ends at once if you go on."
            )
            facts.append(ends % {"time": until})
        return Question(
            title=gettext("A new secret for %(webhook)s?") % {"webhook": webhook},
            facts=facts,
            deed=gettext("Make a new secret"),
            keep=gettext("Keep the present one"),
            back=self.page_of(webhook.pk),
            is_final=False,
        )

    def _to_change(self, request: HttpRequest, pk: int) -> Webhook:
        """Return a webhook that whoever asks may change."""
        webhook: Webhook | None = self.get_object(request, str(pk))
        if not self.has_change_permission(request, webhook):
            raise PermissionDenied
        if webhook is None:
            raise Http404
        return webhook

    @admin.display(description=_("address"))
    def address(self, webhook: Webhook) -> str:
        """Show the address."""
        return webhook.url

    @admin.display(description=_("what it is told"))
    def told(self, webhook: Webhook) -> SafeString:
        """Show how much it is told; what, is on its page."""
        number = len(webhook.events)
        return format_html(
            '<span title="{}">{}</span>',
            "; ".join(str(EVENTS.get(EventName(name), name)) for name in webhook.events),
            ngettext("%(number)d kind of event", "%(number)d kinds of events", number)
            % {"number": number},
        )

    @admin.display(description=_("state"))
    def health(self, webhook: Webhook) -> SafeString:
        """Show whether calls succeed, since when not, and why it was switched off."""
        if webhook.disabled_reason:
            off = label(gettext("switched off by itself"), "danger")
            return format_html("{} {}", off, webhook.disabled_reason)
        if not webhook.is_active:
            return label(gettext("switched off"), "info")
        if webhook.failing_since:
            since = gettext("since %(time)s") % {"time": format_second(webhook.failing_since)}
            return format_html("{} {}", label(gettext("failing"), "warning"), since)
        if webhook.attempted_at is None:
            return label(gettext("not called yet"), "info")
        return label(gettext("working"), "success")

    @admin.display(description=_("deliveries"))
    def log(self, webhook: Webhook) -> SafeString:
        """Show a link to what was posted to it."""
        address = reverse("admin:webhooks_delivery_changelist")
        return format_html(
            '<a href="{}?webhook={}" class="text-link">{}</a>',
            address,
            webhook.pk,
            gettext("What was posted"),
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save a webhook; a new one has a secret, to be shown this once."""
        if change:
            services.edit_webhook(obj)
        else:
            obj.plain = services.add_webhook(obj)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the secret of a new webhook, in this answer and nowhere else."""
        return self._show(request, obj, obj.plain, is_new=True)

    def _show(
        self, request: HttpRequest, webhook: Webhook, secret: str, *, is_new: bool
    ) -> HttpResponse:
        notes = [
            gettext("The program at %(url)s needs it, to know that a call is from here.")
            % {"url": webhook.url}
        ]
        if not is_new:
            notes.append(
                gettext("Until %(time)s calls are signed with the old secret as well.")
                % {"time": _former_until(webhook)}
            )
        page = Secret(
            text=secret,
            title=gettext("Secret of %(webhook)s") % {"webhook": webhook},
            name=gettext("The secret"),
            notes=notes,
            back=self.page_of(webhook.pk),
            back_title=gettext("Back to %(webhook)s") % {"webhook": webhook},
        )
        return show_secret(request, page)

    def delete_via_service(self, item: Webhook) -> None:
        """Delete a webhook; its deliveries are cleared away afterwards."""
        services.delete_webhook(item, now=clock.now())

    def facts_of_deletion(self, items: Sequence[Webhook]) -> list[str]:
        """Return which addresses are told nothing any more."""
        return [gettext("%(url)s is told nothing any more.") % {"url": each.url} for each in items]


class WebhookFilter(DropdownFilter):
    """Deliveries to one webhook."""

    title = _("webhook")
    parameter_name = "webhook"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the webhooks; there are few."""
        return [(str(each.pk), f"{each.pk}: {each.url}") for each in Webhook.objects.present()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the deliveries to the chosen one; an unknown one has none."""
        chosen = self.value()
        known = {value for value, _ in self.lookup_choices}
        if not chosen:
            return queryset
        return queryset.filter(webhook=chosen) if chosen in known else queryset.none()


class StateFilter(DropdownFilter):
    """Deliveries in one state."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return all states."""
        return list(STATES.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the deliveries in the chosen one."""
        return queryset.filter(state=self.value()) if self.value() else queryset


class EventFilter(DropdownFilter):
    """Deliveries of one kind of event."""

    title = _("event")
    parameter_name = "event"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return all kinds."""
        return [(name.value, str(words)) for name, words in EVENTS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the deliveries of the chosen one."""
        return queryset.filter(event=self.value()) if self.value() else queryset


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyPages, ConsoleAdmin):
    """What was posted, for WEBHOOKS_LOG_DAYS.

    It is seen by those who see webhooks, and posted again by those who change them.
    """

    actions = ("redeliver_selected",)
    list_display = ("event_words", "receiver", "outcome", "attempts", "attempted", "answer")
    list_filter = (WebhookFilter, StateFilter, EventFilter)
    sortable_by = ()
    search_fields = ()
    fields = (
        *("event_words", "receiver", "outcome", "happened", "attempts", "attempted", "answer"),
        *("next_attempt", "message_id", "body"),
    )
    readonly_fields = fields
    change_form_outer_before_template = "admin/webhooks/delivery/panel.html"

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the button."""
        again = self.admin_site.admin_view(require_POST(self.redeliver))
        return [
            path("<int:pk>/redeliver/", again, name="webhooks_delivery_redeliver"),
            *super().get_urls(),
        ]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for what seeing webhooks needs."""
        names = ("webhooks.view_webhook", "webhooks.change_webhook")
        return any(request.user.has_perm(name) for name in names)

    def has_redeliver_permission(self, request: HttpRequest) -> bool:
        """Tell whether somebody may have deliveries posted again."""
        return bool(request.user.has_perm("webhooks.change_webhook"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        """Return the deliveries to webhooks that are not deleted."""
        present = Delivery.objects.filter(webhook__in=Webhook.objects.present())
        return present.select_related("webhook")

    def search(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Keep all: there is no search."""
        return queryset

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], **kwargs: Any
    ) -> HttpResponse:
        """Show the button above what is known of a delivery."""
        delivery: Delivery | None = kwargs.get("obj")
        if delivery:
            may_again = self.has_redeliver_permission(request) and delivery.webhook.is_active
            context["panel"] = {"delivery": delivery, "may_redeliver": may_again}
        page: HttpResponse = super().render_change_form(request, context, **kwargs)
        return page

    def redeliver(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Post a delivery once more, and show it."""
        if not self.has_redeliver_permission(request):
            raise PermissionDenied
        self._redeliver(request, self.get_queryset(request).filter(pk=pk))
        return redirect(self.page_of(pk))

    @admin.action(description=_("Post again"), permissions=["redeliver"])
    def redeliver_selected(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """Post deliveries once more."""
        self._redeliver(request, queryset)

    def _redeliver(self, request: HttpRequest, chosen: QuerySet[Delivery]) -> None:
        def again(delivery: Delivery) -> None:
            with transaction.atomic():
                locked = Delivery.objects.select_for_update().get(pk=delivery.pk)
                services.redeliver(locked, delivery.webhook, now=clock.now())

        self.apply_to_each(request, chosen, again, gettext("on the way again"))

    @admin.display(description=_("webhook"))
    def receiver(self, delivery: Delivery) -> SafeString:
        """Show a link to the webhook."""
        return link_to("webhooks_webhook", delivery.webhook_id, delivery.webhook.url)

    @admin.display(description=_("event"))
    def event_words(self, delivery: Delivery) -> str:
        """Show what it tells."""
        if delivery.event == TEST:
            return gettext("Test event")
        known = delivery.event in EventName.values
        return str(EVENTS[EventName(delivery.event)]) if known else delivery.event

    @admin.display(description=_("state"))
    def outcome(self, delivery: Delivery) -> SafeString:
        """Show what has become of it as a coloured label."""
        return label(str(STATES[delivery.state]), COLOURS[delivery.state])

    @admin.display(description=_("when it happened"))
    def happened(self, delivery: Delivery) -> str:
        """Show when that happened which it tells."""
        return format_second(delivery.at)

    @admin.display(description=_("last attempt"))
    def attempted(self, delivery: Delivery) -> str:
        """Show when it was last tried."""
        return format_second(delivery.attempted_at)

    @admin.display(description=_("next attempt"))
    def next_attempt(self, delivery: Delivery) -> str:
        """Show when it is tried next."""
        return format_second(delivery.next_attempt_at)

    @admin.display(description=_("answer"))
    def answer(self, delivery: Delivery) -> str:
        """Show what came back, and how long it took."""
        if delivery.attempted_at is None:
            return gettext("none yet")
        said = delivery.error or f"HTTP {delivery.status_code}"
        milliseconds = round((delivery.duration or 0) * 1000)
        return gettext("%(answer)s, after %(milliseconds)d ms") % {
            "answer": said,
            "milliseconds": milliseconds,
        }

    @admin.display(description=_("what is posted"))
    def body(self, delivery: Delivery) -> SafeString:
        """Show the beginning of the body."""
        try:
            text = json.dumps(json.loads(body_of(delivery)), indent=2, ensure_ascii=False)
        except PayloadGoneError:
            text = gettext("The changes are not kept any more (LEDGER_DAYS).")
        short = Truncator(text).chars(BODY_SHOWN)
        return format_html('<pre class="posted">{}</pre>', short)


def _former_until(webhook: Webhook) -> str:
    """Return until when the secret of before signs as well; nothing where it does not."""
    until = webhook.former_secret_until
    return format_second(until) if until and until > clock.now() else ""
