"""Requeueing: makes a mailing's messages due again, or finds whose are sent again by another one.

A step looks at the messages to the next clients, by the clients' ids, and says where to go on.
"""

from collections.abc import Collection
from datetime import datetime

from django.conf import settings
from django.db import transaction

from messages_app.ledger.posting import posted
from messages_app.models import TRANSIENT, ErrorCode, Message
from messages_app.querysets import MessageQuerySet
from messages_app.sql import index_scans_only
from toolkit.sending_hours import Window, next_opening

CHUNK = 5_000  # messages that one step looks at


def transient_codes() -> list[str]:
    """Return the reasons of failures that a later attempt may mend.

    Unconfirmed messages are among them only with a sender that drops repeated ids.
    """
    unconfirmed = [ErrorCode.UNCONFIRMED] if settings.MESSAGE_SENDER_IDEMPOTENT else []
    return [str(code) for code in (*TRANSIENT, *unconfirmed)]


def requeue_deferred(
    mailing_id: int, *, after: int, window: Window | None, now: datetime
) -> int | None:
    """Make due what was put off untried: messages outside their window or their filters.

    For an edited mailing. They are due now, or when the window next opens in their time zone.
    `after` is the id of the last client looked at.

    Returns:
        The last client looked at now; None if there are no more.
    """
    found, last = _next(mailing_id, after)
    untried = found.unleased().filter(attempts=0, next_attempt_at__gt=now)
    zones = set(untried.order_by().values_list("timezone", flat=True).distinct())
    for zone in zones:
        due_at = next_opening(window, zone, now) if window and zone else now
        untried.filter(timezone=zone).schedule(due_at)
    return last


def requeue_failed(
    mailing_id: int, *, after: int, codes: Collection[str], now: datetime
) -> int | None:
    """Make due again what has failed for good with one of these reasons.

    `after` is the id of the last client looked at.

    Returns:
        The last client looked at now; None if there are no more.
    """
    found, last = _next(mailing_id, after)
    failed = found.failed_for_good(codes).order_by("pk").select_for_update()
    with transaction.atomic():
        ids = list(failed.values_list("pk", flat=True))
        with posted(ids):
            # Without its token, a late answer is written only if it is a success.
            Message.objects.filter(pk__in=ids).schedule(now, lease_token=None)
    return last


def clients_of_failed(
    mailing_id: int, *, after: int, codes: Collection[str] | None
) -> tuple[list[int], int | None]:
    """Return the clients of the next messages that failed for good with one of these reasons.

    For a mailing that sends these again. `after` is the id of the last client looked at; without
    `codes`, any reason will do.

    Returns:
        The clients' ids, and the last client looked at now; None if there are no more.
    """
    found, last = _next(mailing_id, after)
    failed = found.failed_for_good(codes).order_by()
    with index_scans_only():
        return list(failed.values_list("client", flat=True)), last


def _next(mailing_id: int, after: int) -> tuple[MessageQuerySet, int | None]:
    """Return the next messages of a mailing, and the last of their clients if there are more."""
    messages = Message.objects.filter(mailing=mailing_id, client__gt=after)
    with index_scans_only():
        clients = messages.order_by("mailing_id", "client_id").values_list("client", flat=True)
        last = clients[CHUNK - 1 :].first()
    return (messages.filter(client__lte=last) if last else messages), last
