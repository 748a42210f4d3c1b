"""Webhooks in the examples of the OpenAPI document."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

_WEBHOOK = {
    "id": 3,
    "url": "https://crm.example.com/mailing-events",
    "events": ["mailing.finished", "messages.changed"],
    "is_active": True,
    "created_at": "2030-01-30T12:00:00.120000Z",
    "updated_at": "2030-01-30T12:00:00.120000Z",
    "failing_since": None,
    "disabled_at": None,
    "disabled_reason": "",
    "former_secret_until": None,
}
_SECRET = {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwb2xSTGVsbG8="}
_DELIVERY = {
    "id": 901,
    "message_id": "msg_5d2b7e90c1a84f6e9d3b0a7c8e1f2a34",
    "event": "messages.changed",
    "at": "2030-01-31T06:00:01.480000Z",
    "number": 100,
    "state": "pending",
    "attempts": 1,
    "attempted_at": "2030-01-31T06:00:02.010000Z",
    "status_code": 503,
    "duration": 0.048,
    "error": "HTTP 503",
    "next_attempt_at": "2030-01-31T06:00:07.160000Z",
}
_PAGE = "https://mailing.example.com/api/v1/webhooks/3/deliveries/?cursor=cD0xNw%3D%3D"


def _answer(name: str, value: Any, **kwargs: Any) -> OpenApiExample:
    return OpenApiExample(name, value=value, response_only=True, **kwargs)


NEW_WEBHOOK = OpenApiExample(
    "Tell a CRM what became of messages",
    value={
        "url": "https://crm.example.com/mailing-events",
        "events": ["mailing.finished", "messages.changed"],
    },
    request_only=True,
)
WEBHOOK = _answer("A webhook that works", _WEBHOOK)
WEBHOOK_WITH_SECRET = _answer("A webhook and its secret", {**_WEBHOOK, **_SECRET})
DELIVERY = _answer("The receiver was busy", _DELIVERY, status_codes=["200", "202"])
