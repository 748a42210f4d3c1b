"""What is posted to webhooks, in the OpenAPI document.

It stands under `x-webhooks`, as in documents of OpenAPI 3.0, which has no `webhooks` yet.
"""

from typing import Any

from webhooks.models import EventName

Json = dict[str, Any]

_AT = "2030-01-31T15:00:02.120000Z"
_INTEGER: Json = {"type": "integer", "nullable": True}
_MAILING: Json = {
    "id": {"type": "integer"},
    "status": {"$ref": "#/components/schemas/MailingStatusEnum"},
    "start_time": {"type": "string", "format": "date-time"},
    "stop_time": {"type": "string", "format": "date-time"},
    "success": {**_INTEGER, "description": "Messages accepted; null before it is closed."},
    "fail": {**_INTEGER, "description": "Messages that failed; null before it is closed."},
}
_CURSOR: Json = {"type": "string", "description": "A cursor of GET messages/changes/."}
_CHANGES: Json = {
    "messages": {
        "type": "array",
        "maxItems": 100,
        "items": {"$ref": "#/components/schemas/Change"},
    },
    "after": _CURSOR,
    "next": _CURSOR,
}
_SENDER: Json = {
    "by": {"type": "string", "enum": ["pause", "breaker"]},
    "is_held": {"type": "boolean", "description": "Whether one of the two holds all back now."},
    "reason": {
        "type": "string",
        "description": "What opened the breaker, or why it is paused; else empty.",
    },
}
SUMMARIES = {
    EventName.STARTED: "A mailing has started",
    EventName.PAUSED: "A mailing was paused",
    EventName.RESUMED: "A mailing was resumed",
    EventName.FINISHED: "A mailing is closed, and its counts are final",
    EventName.CANCELLED: "A mailing was cancelled",
    EventName.CHANGED: "Messages changed their status",
    EventName.HELD: "All sending is held back",
    EventName.RELEASED: "The pause or the breaker does not hold sending back any more",
}
_EXAMPLES: dict[str, Json] = {
    "messages": {
        "messages": [
            {
                "message": 5213,
                "sender_id": "6917529027641081856",
                "mailing": 17,
                "client": 42,
                "before": "pending",
                "status": "success",
                "error_code": "",
                "is_final": True,
                "at": "2030-01-31T15:00:01.980000Z",
            }
        ],
        "after": "17.4.0.52",
        "next": "17.4.1.52",
    },
    "sender": {"by": "breaker", "is_held": True, "reason": "HTTP 503: Service Unavailable"},
}
_STATUSES = {
    EventName.PAUSED: "paused",
    EventName.FINISHED: "finished",
    EventName.CANCELLED: "cancelled",
}
DESCRIPTION = (
    "A POST to the address of each webhook that wants it, signed by Standard Webhooks 1.0.0: the "
    "headers `webhook-id`, `webhook-timestamp` and `webhook-signature`. Answer 2xx within 15 "
    "seconds. It may come more than once, with the same `webhook-id`, and in no order."
)


def describe_events(result: Json, **_: Any) -> Json:
    """Return the document with what is posted to webhooks; a hook of drf-spectacular."""
    # What is read-only where it is asked for is not so where it is posted.
    _writable(result["components"]["schemas"]["Change"])
    result["x-webhooks"] = {str(event): {"post": _operation(event)} for event in EventName}
    return result


def _writable(schema: Json) -> None:
    for each in schema["properties"].values():
        each.pop("readOnly", None)


def _operation(event: EventName) -> Json:
    about = str(event).partition(".")[0]
    properties = {"mailing": _MAILING, "messages": _CHANGES, "sender": _SENDER}[about]
    content = {
        "type": {"type": "string", "enum": [str(event)]},
        "timestamp": {"type": "string", "format": "date-time", "description": "When it happened."},
        "data": _object(properties),
    }
    example = {"type": str(event), "timestamp": _AT, "data": _example(event, about)}
    body = {"schema": _object(content), "example": example}
    return {
        "operationId": str(event).replace(".", "_"),
        "summary": SUMMARIES[event],
        "description": DESCRIPTION,
        "tags": ["webhooks"],
        "security": [],  # nothing but the signature
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {
            "2XX": {"description": "It was taken."},
            "410": {"description": "It is not wanted any more: the webhook is disabled."},
        },
    }


def _object(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def _example(event: EventName, about: str) -> Json:
    if about == "sender":
        is_held = event == EventName.HELD
        return {**_EXAMPLES["sender"], **({} if is_held else {"is_held": False, "reason": ""})}
    if about == "messages":
        return _EXAMPLES["messages"]
    counts = (875, 5) if event == EventName.FINISHED else (None, None)
    return {
        "id": 17,
        "status": _STATUSES.get(event, "running"),
        "start_time": "2030-01-31T06:00:00Z",
        "stop_time": "2030-01-31T15:00:00Z",
        **dict(zip(("success", "fail"), counts, strict=True)),
    }
