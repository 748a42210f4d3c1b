"""Messages in the examples of the OpenAPI document."""

from typing import Any

from drf_spectacular.utils import OpenApiExample


def _answer(name: str, value: dict[str, Any]) -> OpenApiExample:
    return OpenApiExample(name, value=value, response_only=True)


MESSAGE = _answer(
    "A message that the sender refused",
    {
        "id": 5213,
        "sender_id": "6917529027641081856",
        "mailing": 17,
        "client": 42,
        "status": "fail",
        "created_at": "2030-01-31T06:00:00.120000Z",
        "sent_at": None,
        "attempts": 1,
        "next_attempt_at": None,
        "error_code": "rejected",
        "error": "HTTP 400: Bad Request",
        "text_version": 1,
        "phone_number": "79991234567",
        "is_manual": False,
    },
)
NEW_MESSAGE = OpenApiExample(
    "A client added to a mailing", value={"mailing": 17, "client": 42}, request_only=True
)
ATTEMPT = _answer(
    "The sender was busy",
    {
        "number": 1,
        "began_at": "2030-01-31T06:00:00.120000Z",
        "seconds": 0.048,
        "error_code": "throttled",
        "http_status": 429,
        "error": "HTTP 429: Too Many Requests",
        "is_unclear": False,
    },
)
STATS = _answer(
    "A thousand messages",
    {
        "pending": 120,
        "success": 875,
        "fail": 5,
        "total": 1000,
        "error_codes": {"rejected": 2, "unavailable": 3},
    },
)
CHANGES = _answer(
    "A message was accepted",
    {
        "results": [
            {
                "message": 5213,
                "sender_id": "6917529027641081856",
                "mailing": 17,
                "client": 42,
                "before": "pending",
                "status": "success",
                "error_code": "",
                "is_final": True,
                "at": "2030-01-31T06:00:01.300000Z",
            }
        ],
        "next": "17.4.0.52",
        "has_more": False,
    },
)
