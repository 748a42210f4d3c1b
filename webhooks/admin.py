"""The console's pages of webhooks and of what was delivered to them."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from toolkit import clock
from toolkit.console.admin import ConsoleAdmin, ConsoleForm
from toolkit.console.labels import format_second, label, link_to
from toolkit.console.lists import ExactFilter
from webhooks import services
from webhooks.models import Delivery, EventName, Webhook

COLOURS = {"pending": "info", "delivered": "success", "failed": "danger"}


class WebhookForm(ConsoleForm):
    """A webhook, with its events to be ticked."""

    events = forms.MultipleChoiceField(
        choices=[(name, name) for name in EventName.values],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("What it is told."),
    )

    class Meta:
        model = Webhook
        fields = ("url", "events", "is_active")


@admin.register(Webhook)
class WebhookAdmin(ConsoleAdmin):
    """Webhooks. A secret is shown when it is made, and never again."""

    form = WebhookForm
    new_title = _("New webhook")
    list_display = ("address", "told", "health", "is_active")
    sortable_by = ()
    search_fields = ("url",)
    search_help_text = _("A part of the URL")
    fields = ("url", "events", "is_active", "health", "failing", "log")
    readonly_fields = ("health", "failing", "log")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Webhook]:
        """Return the webhooks that are not deleted."""
        return Webhook.objects.present()

    def get_fields(self, request: HttpRequest, obj: Webhook | None = None) -> tuple[str, ...]:
        """Leave out what a webhook that is not saved yet has not got."""
        return self.fields if obj else self.fields[:3]

    def search(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Keep webhooks with a text in their URL; there are few."""
        return queryset.filter(url__icontains=text) if text else queryset

    @admin.display(description=_("URL"))
    def address(self, webhook: Webhook) -> str:
        """Show the URL."""
        return webhook.url

    @admin.display(description=_("events"))
    def told(self, webhook: Webhook) -> str:
        """Show what it is told."""
        return ", ".join(webhook.events)

    @admin.display(description=_("state"))
    def health(self, webhook: Webhook) -> SafeString:
        """Show whether calls succeed, and why it was disabled."""
        if webhook.disabled_reason:
            return format_html("{} {}", label("disabled", "danger"), webhook.disabled_reason)
        if not webhook.is_active:
            return label("off", "info")
        if webhook.failing_since:
            return label("failing", "warning")
        return label("works", "success")

    @admin.display(description=_("fails since"))
    def failing(self, webhook: Webhook) -> str:
        """Show since when no call has succeeded."""
        return format_second(webhook.failing_since)

    @admin.display(description=_("deliveries"))
    def log(self, webhook: Webhook) -> SafeString:
        """Show a link to what was posted to it."""
        address = reverse("admin:webhooks_delivery_changelist")
        return format_html(
            '<a href="{}?webhook={}" class="text-link">What was posted to it</a>',
            address,
            webhook.pk,
        )

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        """Save a webhook; show the secret of a new one, this once."""
        if change:
            services.edit_webhook(obj)
            return
        secret = services.add_webhook(obj)
        self.message_user(
            request,
            f"Secret of {obj}: {secret} – copy it now, it is not shown again.",
            messages.WARNING,
        )

    def delete_via_service(self, item: Webhook) -> None:
        """Delete a webhook; its deliveries are cleared away afterwards."""
        services.delete_webhook(item, now=clock.now())

    def describe_deletion(self, item: Webhook) -> str:
        """Return what its deletion means."""
        return f"{item}, {item.url} – it is told nothing any more"


class WebhookFilter(ExactFilter):
    """Deliveries to one webhook."""

    title = "webhook"
    parameter_name = "webhook"


@admin.register(Delivery)
class DeliveryAdmin(ConsoleAdmin):
    """What was posted, to be looked at only. Whoever may see webhooks may see it."""

    actions = ()
    list_display = (
        *("message_id", "receiver", "event", "outcome", "attempts", "attempted"),
        *("status_code", "next_attempt"),
    )
    list_filter = (WebhookFilter,)
    sortable_by = ()
    search_fields = ()
    fields = (
        *("message_id", "receiver", "event", "outcome", "attempts", "attempted", "status_code"),
        *("duration", "error", "next_attempt"),
    )
    readonly_fields = fields

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for what seeing webhooks needs."""
        names = ("webhooks.view_webhook", "webhooks.change_webhook")
        return any(request.user.has_perm(name) for name in names)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Ask for the same."""
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse to everybody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse to everybody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse to everybody: they are dropped after WEBHOOKS_LOG_DAYS."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        """Return the deliveries to webhooks that are not deleted."""
        return Delivery.objects.filter(webhook__in=Webhook.objects.present())

    def search(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Keep all: there is no search."""
        return queryset

    @admin.display(description=_("webhook"))
    def receiver(self, delivery: Delivery) -> SafeString:
        """Show a link to the webhook."""
        name = f"Webhook {delivery.webhook_id}"
        return link_to("webhooks_webhook", delivery.webhook_id, name)

    @admin.display(description=_("state"))
    def outcome(self, delivery: Delivery) -> SafeString:
        """Show what has become of it as a coloured label."""
        return label(delivery.get_state_display(), COLOURS[delivery.state])

    @admin.display(description=_("last attempt"))
    def attempted(self, delivery: Delivery) -> str:
        """Show when it was last tried."""
        return format_second(delivery.attempted_at)

    @admin.display(description=_("next attempt"))
    def next_attempt(self, delivery: Delivery) -> str:
        """Show when it is tried next."""
        return format_second(delivery.next_attempt_at)
