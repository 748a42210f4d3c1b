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
from messages_app.models.pulse import AnswerTime, Occurrence, Pulse
from messages_app.models.trouble import Told, Trouble

__all__ = [
    "TRANSIENT",
    "AnswerTime",
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
    "Occurrence",
    "Posting",
    "Pulse",
    "SendingControl",
    "Standing",
    "Told",
    "Trouble",
    "Withdrawal",
]
