"""Leaves: what a statement says of each message, with salt, so that nobody can guess the others.

Nothing in it goes when a phone number is forgotten, or a client is deleted: the sender's id stands
for the number, of which it is made (docs/adr/0015-sender-ids.md).
"""

import hmac
import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from messages_app.models import ErrorCode, Message
from messages_app.sender_ids import sender_id

CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
SALT = 16  # bytes
SUCCESS, FAILED, UNCONFIRMED = "success", "failed", "unconfirmed"
COLUMNS = (
    *("pk", "client_id", "status", "error_code", "attempts", "text_version", "sent_at"),
    "phone_number",
)


class Row(NamedTuple):
    """COLUMNS of a message."""

    pk: int
    client_id: int | None
    status: str
    error_code: str
    attempts: int
    text_version: int | None
    sent_at: datetime | None
    phone_number: str

    @property
    def outcome(self) -> str:
        """What became of it."""
        if self.status == Message.Status.SUCCESS:
            return SUCCESS
        return UNCONFIRMED if self.error_code == ErrorCode.UNCONFIRMED else FAILED

    @property
    def version(self) -> int:
        """Which text went out last; 0 where none did, or nobody knows."""
        return self.text_version or 0 if self.attempts else 0


class Leaves:
    """Makes the leaves of one statement."""

    def __init__(self, salt_key: bytes, sender_key: int | None) -> None:
        """Take what is secret in them: the key of the salts, and that of the sender's ids."""
        self._salt_key, self._sender_key = salt_key, sender_key

    def of(self, row: Row) -> str:
        """Return the leaf of a message, a JSON object on one line."""
        number = row.phone_number
        said = {
            "at": row.sent_at and utc(row.sent_at),
            "message": str(row.pk),
            "outcome": row.outcome,
            "reason": row.error_code if row.outcome == FAILED else "",
            "salt": hmac.digest(self._salt_key, b"%d" % row.pk, "sha256")[:SALT].hex(),
            "sender_id": str(sender_id(self._sender_key, message_id=row.pk, phone_number=number)),
            "text": row.version,
        }
        return canonical(said)


def counted(rows: Sequence[Row]) -> Counter[str]:
    """Return {outcome, reason and version of the text, as `counts_of` reads it: messages}."""
    return Counter(
        f"{row.outcome}|{row.error_code if row.outcome == FAILED else ''}|{row.version}"
        for row in rows
    )


def canonical(said: dict[str, Any]) -> str:
    """Return JSON in the one way in which it is signed and hashed (RFC 8785, without floats)."""
    return CANONICAL.encode(said)


def utc(moment: datetime) -> str:
    """Return a moment as REST writes it."""
    return moment.isoformat().replace("+00:00", "Z")
