"""The tick: makes deliveries of events, calls couriers, and clears away what is old."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from messages_app.ledger import changes
from messages_app.ledger.changes import CursorTooOldError
from messages_app.models import SendingControl
from messages_app.sending import control
from toolkit.outbox.models import Event
from toolkit.publishing import publish
from webhooks.models import Delivery, DeliveryQuerySet, Webhook

EVENTS = 500  # that one transaction passes on
CLEARED = 1_000  # deliveries that one statement deletes
CLEARINGS = 5  # such statements a tick
# Until another courier is called for, if the one that was called for does not come.
PATIENCE = timedelta(seconds=60)


def relay(*, now: datetime) -> None:
    """Pass on what has happened, and have it delivered.

    A copy of the database that waits for the end of its original tells nobody anything.
    """
    if control.is_held_back(SendingControl.objects.current(), now):
        return
    while _pass_on(now) == EVENTS:
        pass
    for webhook in Webhook.objects.callable(now).free(now):
        if has_work(webhook, now):
            _call_courier(webhook, now)
    _clear(now)


def has_work(webhook: Webhook, now: datetime) -> bool:
    """Tell whether something is due, or the feed has something that a webhook was not told."""
    if webhook.deliveries.due(now).exists():
        return True
    if not webhook.may_be_told_more(now):
        return False
    try:
        return bool(changes.read(after=webhook.position, limit=1).changes)
    except CursorTooOldError:
        return True


def _pass_on(now: datetime) -> int:
    """Make deliveries of some events, which are deleted with that; return the number of events."""
    with transaction.atomic():
        events = Event.objects.take(EVENTS)
        webhooks = list(Webhook.objects.active()) if events else []
        for event in events:
            listening = [webhook for webhook in webhooks if webhook.wants(event.name)]
            Delivery.objects.make(
                event.name, listening, at=event.at, data=event.data, next_attempt_at=now
            )
        Event.objects.filter(pk__in=[event.pk for event in events]).delete()
    return len(events)


def _call_courier(webhook: Webhook, now: datetime) -> None:
    """Queue a task for a webhook; of several ticks at once, one does."""
    free = Webhook.objects.filter(pk=webhook.pk).free(now)
    if free.update(courier=None, courier_until=now + PATIENCE):
        publish("deliver_webhooks", webhook.pk)


def _clear(now: datetime) -> None:
    """Delete deliveries that ended long ago or whose webhook is gone, a bounded number of them."""
    old = Delivery.objects.finished_before(now - timedelta(days=settings.WEBHOOKS_LOG_DAYS))
    _delete(old)
    for webhook in Webhook.objects.exclude(deleted_at=None):
        if _delete(webhook.deliveries.order_by("pk")):
            webhook.delete()


def _delete(deliveries: DeliveryQuerySet) -> bool:
    """Delete some of the deliveries; tell whether none is left."""
    for _ in range(CLEARINGS):
        ids = list(deliveries.values_list("pk", flat=True)[:CLEARED])
        Delivery.objects.filter(pk__in=ids).delete()
        if len(ids) < CLEARED:
            return True
    return False
