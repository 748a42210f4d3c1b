"""What is posted: the body and the headers of a call."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rest_framework.utils.encoders import JSONEncoder

from messages_app.api.changes import change_rows
from messages_app.ledger import changes
from messages_app.ledger.changes import Change, CursorError, CursorTooOldError
from webhooks.models import Delivery
from webhooks.signing import sign

USER_AGENT = "Mailing-Manager-Webhooks/1.0"


class PayloadGoneError(LookupError):
    """What a delivery would tell is not kept any more."""


def body_of(delivery: Delivery) -> bytes:
    """Return the body, which is the same in each attempt as long as the messages exist.

    Raises:
        PayloadGoneError: the ledger does not keep what it would tell any more.
    """
    data = delivery.data if delivery.data is not None else _page(delivery)
    content = {"type": delivery.event, "timestamp": delivery.at, "data": data}
    return json.dumps(content, cls=JSONEncoder, separators=(",", ":")).encode()


def headers_of(
    delivery: Delivery, body: bytes, *, secrets: Sequence[str], now: datetime
) -> dict[str, str]:
    """Return the headers of an attempt at this moment, signed with each of the secrets."""
    timestamp = int(now.timestamp())
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": delivery.message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(
            secrets, message_id=delivery.message_id, timestamp=timestamp, body=body
        ),
    }


def _page(delivery: Delivery) -> dict[str, Any]:
    try:
        page = changes.read(after=delivery.after, limit=delivery.number)
    except (CursorError, CursorTooOldError):
        raise PayloadGoneError from None
    return told(page.changes, after=delivery.after, next=page.next)


def told(found: Sequence[Change], *, after: str, next: str) -> dict[str, Any]:
    """Return what is told of changes, and between which cursors of the feed they are."""
    return {"messages": change_rows(found), "after": after, "next": next}
