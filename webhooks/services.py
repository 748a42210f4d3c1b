"""What people do with webhooks: add, change, rotate, delete, try; and with their deliveries.

REST and the console call the same.
"""

from datetime import datetime
from functools import partial

from django.core.exceptions import ValidationError
from django.db import transaction

from messages_app.ledger import changes
from toolkit.encryption import UnreadableError
from toolkit.history.models import Deed
from toolkit.history.recording import differences, record_deed, values_of
from toolkit.publishing import publish
from webhooks import signing
from webhooks.models import TEST, Delivery, EventName, Webhook

MOST_WEBHOOKS = 50  # each is looked at by every tick
EDITABLE = ("url", "events", "is_active")


def add_webhook(webhook: Webhook) -> str:
    """Save a new webhook, which is told of what happens from now on.

    Returns:
        Its secret, which cannot be read again.

    Raises:
        ValidationError: there are too many.
    """
    with transaction.atomic():
        if Webhook.objects.present().count() >= MOST_WEBHOOKS:
            raise ValidationError(
                f"There are {MOST_WEBHOOKS} webhooks already. Delete one that is not needed.",
                code="too_many_webhooks",
            )
        secret = signing.new_secret()
        webhook.set_secret(secret)
        webhook.position = changes.latest_cursor()
        webhook.save()
        record_deed(Deed.CREATED, webhook, changes=differences({}, values_of(webhook, EDITABLE)))
    return secret


def edit_webhook(webhook: Webhook) -> Webhook:
    """Save an edited webhook. Activated again, it goes on where it stopped."""
    with transaction.atomic():
        before = Webhook.objects.select_for_update().get(pk=webhook.pk)
        fields = [*EDITABLE, "updated_at"]
        if webhook.wants(EventName.CHANGED) and not before.wants(EventName.CHANGED):
            webhook.position = changes.latest_cursor()
            fields.append("position")
        is_woken = webhook.is_active and not before.is_active
        if is_woken or webhook.url != before.url:
            webhook.forget_troubles()
            fields += ["disabled_at", "disabled_reason", "failing_since", "held_until"]
        webhook.save(update_fields=fields)
        was, is_now = values_of(before, EDITABLE), values_of(webhook, EDITABLE)
        if changed := differences(was, is_now):
            record_deed(Deed.CHANGED, webhook, changes=changed)
    return webhook


def rotate_secret(webhook: Webhook, *, now: datetime) -> str:
    """Give a webhook a new secret; that of before signs as well, for a day. Returns the new one."""
    secret = signing.new_secret()
    with transaction.atomic():
        locked = Webhook.objects.select_for_update().get(pk=webhook.pk)
        locked.rotate_secret(secret, now=now)
        fields = ["secret", "former_secret", "former_secret_until", "updated_at"]
        locked.save(update_fields=fields)
        record_deed(Deed.ROTATED, webhook)
    webhook.refresh_from_db()
    return secret


def renew_secrets() -> tuple[int, list[int]]:
    """Encrypt all secrets with the present SECRET_KEY, a webhook at a time.

    Returns:
        The number of webhooks, and the ids of those whose secrets cannot be read.
    """
    renewed, unreadable = 0, []
    for pk in Webhook.objects.present().values_list("pk", flat=True):
        with transaction.atomic():
            webhook = Webhook.objects.select_for_update().get(pk=pk)
            try:
                webhook.renew_secrets()
            except UnreadableError:
                unreadable.append(pk)
                continue
            webhook.save(update_fields=["secret", "former_secret"])
            renewed += 1
    return renewed, unreadable


def delete_webhook(webhook: Webhook, *, now: datetime) -> None:
    """Delete a webhook: it is called no more, and the tick clears its deliveries away."""
    with transaction.atomic():
        record_deed(Deed.DELETED, webhook, changes=differences(values_of(webhook, EDITABLE), {}))
        Webhook.objects.filter(pk=webhook.pk).update(deleted_at=now, is_active=False)


def try_webhook(webhook: Webhook, *, now: datetime) -> Delivery:
    """Send a webhook an event that means nothing, now.

    Raises:
        ValidationError: it is not active.
    """
    _refuse_inactive(webhook)
    data = {"webhook": webhook.pk}
    with transaction.atomic():
        made = Delivery.objects.make(TEST, [webhook], at=now, data=data, next_attempt_at=now)
        record_deed(Deed.TRIED, webhook)
        call_courier(webhook)
    (delivery,) = made
    return delivery


def redeliver(delivery: Delivery, webhook: Webhook, *, now: datetime) -> Delivery:
    """Deliver once more, now, whatever has become of it; under the same webhook-id.

    Raises:
        ValidationError: its webhook is not active.
    """
    _refuse_inactive(webhook)
    with transaction.atomic():
        delivery.begin_again(now=now)
        delivery.save()
        record_deed(Deed.RESENT, webhook, details={"delivery": delivery.pk})
        call_courier(webhook)
    return delivery


def call_courier(webhook: Webhook) -> None:
    """Have a webhook's deliveries looked at once this is committed, not at the next tick."""
    transaction.on_commit(partial(publish, "deliver_webhooks", webhook.pk))


def _refuse_inactive(webhook: Webhook) -> None:
    if not webhook.is_active:
        raise ValidationError(
            "This webhook is not active, so nothing is sent to it. Set is_active first.",
            code="webhook_inactive",
        )
