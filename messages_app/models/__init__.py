"""What is stored of messages: they themselves, what coordinates workers, and the ledger."""

from messages_app.models.coordination import (
    Doorbell,
    Heartbeat,
    Home,
    Lease,
    LeasedBatch,
    Line,
    SendingControl,
)
from messages_app.models.ledger import Balance, LedgerHead, MinuteTotal, Posting
from messages_app.models.message import (
    TRANSIENT,
    Attempt,
    ErrorCode,
    Message,
    Standing,
    Withdrawal,
)

__all__ = [
    "TRANSIENT",
    "Attempt",
    "Balance",
    "Doorbell",
    "ErrorCode",
    "Heartbeat",
    "Home",
    "Lease",
    "LeasedBatch",
    "LedgerHead",
    "Line",
    "Message",
    "MinuteTotal",
    "Posting",
    "SendingControl",
    "Standing",
    "Withdrawal",
]
