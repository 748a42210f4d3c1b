"""Delivering: one courier at a time takes what is due to one webhook, a few calls at once.

A courier's lease is renewed with every round. When it dies, the lease ends and another one makes
the same calls again, under the same webhook-ids: at least once. What a courier whose lease has
ended hears is not written down any more. No transaction is open during a call.
"""

import logging
import secrets
from collections.abc import Callable, Collection
from contextlib import closing
from datetime import datetime, timedelta

from django.db import transaction

from messages_app.ledger import changes, folding
from messages_app.ledger.changes import CursorTooOldError
from messages_app.models import SendingControl
from messages_app.sending import control
from toolkit import clock
from toolkit.encryption import UnreadableError
from webhooks import retries
from webhooks.models import Delivery, EventName, Webhook
from webhooks.payloads import PayloadGoneError, body_of, headers_of
from webhooks.transport import TIMEOUT, Answer, Call, Connections

AT_ONCE = 4  # calls to one webhook
PAGE = 100  # changes that one call tells
TIME_BOX = 20.0  # seconds after which a courier begins no other round
LEASE = timedelta(seconds=TIMEOUT + 45)
OUTCOME = (
    *("state", "attempts", "next_attempt_at", "attempted_at", "status_code", "duration"),
    *("error", "finished_at"),
)
HEALTH = (
    *("attempted_at", "failing_since", "held_until"),
    *("is_active", "disabled_at", "disabled_reason"),
)

State = Delivery.State

logger = logging.getLogger(__name__)


def deliver(webhook_id: int, *, is_stopping: Callable[[], bool] = lambda: False) -> bool:
    """Deliver what is due to a webhook for a bounded time. Returns whether more may be due.

    A copy of the database that waits for the end of its original delivers nothing.
    """
    if control.is_held_back(SendingControl.objects.current(), clock.now()):
        return False
    courier = secrets.randbits(63)
    ends_at = clock.monotonic() + TIME_BOX
    is_more = True
    with closing(Connections()) as connections:
        while is_more and not is_stopping() and clock.monotonic() < ends_at:
            is_more = deliver_round(webhook_id, courier, connections)
    _release(webhook_id, courier)
    return is_more


def deliver_round(webhook_id: int, courier: int, connections: Connections) -> bool:
    """Make the next few calls to a webhook. Returns False when there is nothing more to do now."""
    folding.fold_all()  # Before a webhook is locked: it takes as long as there is to fold.
    now = clock.now()
    webhook, due = claim(webhook_id, courier, now=now)
    if not webhook or not due:
        return False
    try:
        keys = webhook.secrets(now)
    except UnreadableError:
        _disable(webhook, "SECRET_KEY was changed, and the secret cannot be read. Rotate it.", now)
        webhook.save(update_fields=HEALTH)
        return False
    calls, gone = _calls(webhook, due, keys, now)
    answers = connections.post_all(calls)
    return record(webhook_id, courier, due, answers, gone=gone, now=clock.now())


def claim(webhook_id: int, courier: int, *, now: datetime) -> tuple[Webhook | None, list[Delivery]]:
    """Return a webhook and what is due to it, for the courier alone until its lease ends.

    Where fewer than AT_ONCE are due, the next pages of the feed become deliveries.
    """
    with transaction.atomic():
        callable_now = Webhook.objects.callable(now).filter(pk=webhook_id)
        webhook = callable_now.select_for_update(skip_locked=True).first()
        if not webhook or _is_taken(webhook, courier, now):
            return None, []
        due = list(webhook.deliveries.due(now)[:AT_ONCE])
        if len(due) < AT_ONCE and webhook.may_be_told_more(now):
            limit = 1 if webhook.failing_since else AT_ONCE - len(due)
            due += _begin_pages(webhook, limit, now)
        webhook.courier, webhook.courier_until = courier, now + LEASE
        webhook.save(update_fields=["courier", "courier_until", "position"])
    return webhook, due


def _is_taken(webhook: Webhook, courier: int, now: datetime) -> bool:
    is_leased = webhook.courier_until is not None and webhook.courier_until > now
    return is_leased and webhook.courier not in (None, courier)


def _begin_pages(webhook: Webhook, limit: int, now: datetime) -> list[Delivery]:
    """Make deliveries of the next pages of the feed. The caller saves how far it went."""
    made: list[Delivery] = []
    is_more = True
    while is_more and len(made) < limit:
        try:
            page = changes.read(after=webhook.position, limit=PAGE)
        except CursorTooOldError:
            logger.warning(
                "%s is not told of all changes: what followed its position is not kept any more.",
                webhook,
            )
            webhook.position = changes.oldest_cursor()
            continue
        if page.changes:
            values = {"after": webhook.position, "number": len(page.changes)}
            last = page.changes[-1].at
            made += Delivery.objects.make(
                EventName.CHANGED, [webhook], at=last, next_attempt_at=now, **values
            )
        webhook.position, is_more = page.next, page.has_more
    return made


def _calls(
    webhook: Webhook, due: list[Delivery], keys: list[str], now: datetime
) -> tuple[list[Call], set[int]]:
    """Return the calls to make, and the ids of deliveries that cannot be told any more."""
    calls: list[Call] = []
    gone = set()
    for delivery in due:
        try:
            body = body_of(delivery)
        except PayloadGoneError:
            gone.add(delivery.pk)
            continue
        headers = headers_of(delivery, body, secrets=keys, now=now)
        calls.append(Call(delivery.pk, webhook.url, headers, body))
    return calls, gone


def record(
    webhook_id: int,
    courier: int,
    due: list[Delivery],
    answers: list[Answer],
    *,
    gone: Collection[int],
    now: datetime,
) -> bool:
    """Write down how a round went. Returns whether the courier may go on."""
    by_id = {delivery.pk: delivery for delivery in due}
    with transaction.atomic():
        mine = Webhook.objects.filter(pk=webhook_id, courier=courier)
        webhook = mine.select_for_update().first()
        if not webhook:
            return False
        for answer in answers:
            _note_attempt(by_id[answer.key], answer, now)
        for pk in gone:
            by_id[pk].error = "The changes are not kept any more (LEDGER_DAYS)."
            by_id[pk].finish(State.FAILED, now=now)
        Delivery.objects.bulk_update(due, OUTCOME)
        _note_health(webhook, answers, now)
        webhook.save(update_fields=HEALTH)
    return webhook.is_active and not webhook.failing_since


def _note_attempt(delivery: Delivery, answer: Answer, now: datetime) -> None:
    delivery.attempts += 1
    delivery.attempted_at = now
    delivery.status_code, delivery.duration = answer.status, answer.seconds
    delivery.error = "" if retries.is_success(answer.status) else _error(answer)[:255]
    if retries.is_success(answer.status):
        delivery.finish(State.DELIVERED, now=now)
        return
    wait = retries.delay_after(delivery.attempts)
    if wait is None or answer.status == retries.GONE:
        delivery.finish(State.FAILED, now=now)
        return
    held = retries.held_for(answer.status, answer.retry_after)
    delivery.next_attempt_at = now + max(wait, held)


def _error(answer: Answer) -> str:
    if answer.status is None:
        return answer.error
    if 300 <= answer.status < 400:
        return f"HTTP {answer.status}: redirects are not followed."
    return f"HTTP {answer.status}"


def _note_health(webhook: Webhook, answers: list[Answer], now: datetime) -> None:
    """Note whether a webhook works and whether it wants a pause; disable it when it is hopeless."""
    if not answers:
        return
    webhook.attempted_at = now
    if any(retries.is_success(answer.status) for answer in answers):
        webhook.failing_since = None
    else:
        webhook.failing_since = webhook.failing_since or now
    held = max(retries.held_for(answer.status, answer.retry_after) for answer in answers)
    webhook.held_until = now + held if held else None
    if any(answer.status == retries.GONE for answer in answers):
        _disable(webhook, "The receiver answered 410 Gone.", now)
    elif webhook.failing_since and now - webhook.failing_since >= retries.DISABLED_AFTER:
        _disable(webhook, f"No call has succeeded for five days. {_error(answers[-1])}", now)


def _disable(webhook: Webhook, reason: str, now: datetime) -> None:
    webhook.disable(reason[:255], now=now)
    logger.error("%s is disabled, and nothing is sent to it any more. %s", webhook, reason)


def _release(webhook_id: int, courier: int) -> None:
    """Let the next courier come at once."""
    mine = Webhook.objects.filter(pk=webhook_id, courier=courier)
    mine.update(courier=None, courier_until=None)
