"""The sender API: the only place that knows HTTP (contract: docs/sender-api.md).

A transport hands requests to the sender and returns answers; `classify` says what an answer means.
"""

from messages_app.sender.answers import Answer, Failure, Verdict, classify
from messages_app.sender.contract import Request
from messages_app.sender.transports.base import Transport, transport, transport_of_one

__all__ = [
    "Answer",
    "Failure",
    "Request",
    "Transport",
    "Verdict",
    "classify",
    "transport",
    "transport_of_one",
]
