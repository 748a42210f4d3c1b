"""The sender API: the only place that knows HTTP (contract: docs/sender-api.md).

A transport hands requests to the sender and returns answers; `judge` says what an answer means.
"""

from messages_app.sender.answers import Answer, Failure, Verdict, judge
from messages_app.sender.transport import Request, Transport, transport

__all__ = [
    "Answer",
    "Failure",
    "Request",
    "Transport",
    "Verdict",
    "judge",
    "transport",
]
