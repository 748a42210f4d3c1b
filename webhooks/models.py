"""Webhooks, and what is or was delivered to them."""

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from webhooks import retries, signing
from webhooks.addresses import MAX_LENGTH, check_url

ROTATION = timedelta(hours=24)  # for which a secret that was replaced still signs


class EventName(models.TextChoices):
    """What one can be told of."""

    STARTED = "mailing.started"
    PAUSED = "mailing.paused"
    RESUMED = "mailing.resumed"
    FINISHED = "mailing.finished"
    CANCELLED = "mailing.cancelled"
    CHANGED = "messages.changed"
    HELD = "sender.held"
    RELEASED = "sender.released"


TEST = "webhook.test"  # which nobody subscribes to, and which is sent when it is asked for


def new_message_id() -> str:
    """Return the webhook-id of a delivery."""
    return f"msg_{secrets.token_hex(16)}"


def validate_events(events: object) -> None:
    """Refuse what is no list of events.

    Raises:
        ValidationError: it is empty, or has something else in it.
    """
    known = f"Choose from {', '.join(EventName.values)}."
    if not isinstance(events, list) or not events or len(set(map(str, events))) != len(events):
        raise ValidationError(f"Write a list, each event once. {known}", code="invalid")
    if unknown := [each for each in events if each not in EventName.values]:
        sentence = f"There is no event {str(unknown[0])[:64]}. {known}"
        raise ValidationError(sentence, code="invalid_choice")


class WebhookQuerySet(models.QuerySet["Webhook"]):
    """Webhooks, as phrases."""

    def present(self) -> "WebhookQuerySet":
        """Keep those that are not deleted."""
        return self.filter(deleted_at=None)

    def active(self) -> "WebhookQuerySet":
        """Keep those that are called."""
        return self.present().filter(is_active=True)

    def callable(self, now: datetime) -> "WebhookQuerySet":
        """Keep those that want no pause from us."""
        return self.active().filter(Q(held_until=None) | Q(held_until__lte=now))

    def free(self, now: datetime) -> "WebhookQuerySet":
        """Keep those that no courier is at, or was called for."""
        return self.filter(Q(courier_until=None) | Q(courier_until__lte=now))


class Webhook(models.Model):
    """An address of another program, and what it wants to be told."""

    url = models.CharField(
        "URL", max_length=MAX_LENGTH, validators=[check_url], help_text="Where events are posted."
    )
    events = models.JSONField(validators=[validate_events], help_text="What it is told.")
    is_active = models.BooleanField("active", default=True, db_default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    secret = models.TextField(editable=False, help_text="Encrypted (see `signing`).")
    former_secret = models.TextField(default="", editable=False)
    former_secret_until = models.DateTimeField(null=True, editable=False)

    # How far the feed of messages was made into deliveries: a cursor of `ledger.changes`.
    position = models.CharField(max_length=100, default="", editable=False)
    attempted_at = models.DateTimeField(null=True, editable=False)
    # Since when no call has succeeded; empty while the last one has.
    failing_since = models.DateTimeField(null=True, editable=False)
    held_until = models.DateTimeField(null=True, editable=False)  # as its Retry-After said
    disabled_at = models.DateTimeField(null=True, editable=False)
    disabled_reason = models.CharField(max_length=255, default="", editable=False)
    # Who is delivering to it, until when at the latest. No courier, and a time: one was called for.
    courier = models.BigIntegerField(null=True, editable=False)
    courier_until = models.DateTimeField(null=True, editable=False)
    # When it was deleted: from then on only the tick sees it, which clears its deliveries away.
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        """Newest first."""

        ordering = ("-id",)

    def __str__(self) -> str:
        return gettext("Webhook %(id)s") % {"id": self.pk}

    def wants(self, event: str) -> bool:
        """Tell whether it wants to be told of an event."""
        return event in self.events

    def may_be_told_more(self, now: datetime) -> bool:
        """Tell whether it may be told the next changes of messages, beside what is pending."""
        if not self.wants(EventName.CHANGED):
            return False
        tried_at = self.attempted_at if self.failing_since else None
        if tried_at and now < tried_at + retries.PROBE_INTERVAL:
            return False
        pending = self.deliveries.pending().values("pk")[: retries.MOST_PENDING]
        return pending.count() < retries.MOST_PENDING

    def set_secret(self, secret: str) -> None:
        """Give it a secret; that of before stops signing at once."""
        self.secret = signing.encrypt(secret)
        self.former_secret, self.former_secret_until = "", None

    def rotate_secret(self, secret: str, *, now: datetime) -> None:
        """Give it a secret; that of before goes on signing for ROTATION."""
        self.former_secret, self.former_secret_until = self.secret, now + ROTATION
        self.secret = signing.encrypt(secret)

    def secrets(self, now: datetime) -> list[str]:
        """Return the secrets to sign with, the present one first.

        Raises:
            UnreadableError: SECRET_KEY was changed.
        """
        is_former_valid = self.former_secret_until and self.former_secret_until > now
        stored = [self.secret, *([self.former_secret] if is_former_valid else [])]
        return [signing.decrypt(each) for each in stored]

    def renew_secrets(self) -> None:
        """Encrypt its secrets with the present SECRET_KEY. The caller saves it.

        Raises:
            UnreadableError: SECRET_KEY was changed.
        """
        self.secret = signing.encrypt(signing.decrypt(self.secret))
        if self.former_secret:
            self.former_secret = signing.encrypt(signing.decrypt(self.former_secret))

    def disable(self, reason: str, *, now: datetime) -> None:
        """Call it no more until somebody activates it again. The caller saves it."""
        self.is_active, self.disabled_at, self.disabled_reason = False, now, reason

    def forget_troubles(self) -> None:
        """Begin anew, as somebody has activated or changed it. The caller saves it."""
        self.disabled_at, self.disabled_reason = None, ""
        self.failing_since = self.held_until = None


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Deliveries, as phrases."""

    def pending(self) -> "DeliveryQuerySet":
        """Keep those that are still to be delivered."""
        return self.filter(state="pending")

    def due(self, now: datetime) -> "DeliveryQuerySet":
        """Keep those whose next attempt's time has come, the longest due first."""
        return self.pending().filter(next_attempt_at__lte=now).order_by("next_attempt_at")

    def finished_before(self, moment: datetime) -> "DeliveryQuerySet":
        """Keep those that were delivered or given up before a time, the oldest first."""
        return self.filter(finished_at__lt=moment).order_by("finished_at")

    def make(self, event: str, webhooks: Iterable[Webhook], **values: Any) -> list["Delivery"]:
        """Save a delivery of an event to each of the webhooks."""
        return self.bulk_create(Delivery(webhook=each, event=event, **values) for each in webhooks)


class Delivery(models.Model):
    """One event, or one page of the feed, on its way to a webhook, and what came of it.

    A page has no data of its own: it is read from the ledger again for each attempt. So a thousand
    messages that change are ten small rows.
    """

    class State(models.TextChoices):
        """What has become of it."""

        PENDING = "pending", _("Pending")
        DELIVERED = "delivered", _("Delivered")
        FAILED = "failed", _("Failed")

    # Without constraint: the tick clears deliveries away step by step before it deletes a webhook.
    webhook = models.ForeignKey(
        Webhook,
        models.DO_NOTHING,
        related_name="deliveries",
        db_constraint=False,
        db_index=False,
    )
    message_id = models.CharField(
        "webhook-id", max_length=64, default=new_message_id, help_text="The same in every attempt."
    )
    event = models.CharField(max_length=64)
    at = models.DateTimeField(help_text="When it happened.")
    data = models.JSONField(null=True)
    after = models.CharField(max_length=100, default="", help_text="The cursor before the page.")
    number = models.PositiveIntegerField(default=0, help_text="Changes on the page.")

    state = models.CharField(max_length=16, choices=State, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    attempted_at = models.DateTimeField(null=True)
    status_code = models.PositiveSmallIntegerField(null=True)
    duration = models.FloatField(null=True, help_text="Seconds.")
    error = models.CharField(max_length=255, default="")
    finished_at = models.DateTimeField(null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        """Newest first. Whoever may see a webhook may see these: it has no rights of its own."""

        ordering = ("-id",)
        verbose_name_plural = "deliveries"
        default_permissions = ()
        indexes = (
            models.Index(fields=("webhook", "-id"), name="delivery_log_idx"),
            models.Index(
                fields=("webhook", "next_attempt_at"),
                condition=Q(state="pending"),
                name="delivery_due_idx",
            ),
            models.Index(
                fields=("finished_at",),
                condition=Q(finished_at__isnull=False),
                name="delivery_finished_idx",
            ),
        )

    def __str__(self) -> str:
        return f"Delivery {self.message_id}"

    def finish(self, state: "Delivery.State", *, now: datetime) -> None:
        """Note that nothing more is to be done. The caller saves it."""
        self.state, self.next_attempt_at, self.finished_at = state, None, now

    def begin_again(self, *, now: datetime) -> None:
        """Have it delivered now, and then by the schedule from its start. The caller saves it."""
        self.state, self.attempts = self.State.PENDING, 0
        self.next_attempt_at, self.finished_at = now, None
