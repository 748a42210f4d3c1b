"""Mailings in the examples of the OpenAPI document."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

_TEXT = "Your delivery arrives between 14:00 and 16:00."
_COUNTS = {"pending": 120, "success": 875, "fail": 5, "total": 1000}
_STATS = {
    "id": 17,
    "status": "running",
    "start_time": "2030-01-31T06:00:00Z",
    "stop_time": "2030-01-31T15:00:00Z",
    "last_run_time": "2030-01-31T06:00:04.500000Z",
    "stats": _COUNTS,
    "retrying": 3,
    "is_complete": False,
}
_PAGE = "https://mailing.example.com/api/v1/mailings/stats/?cursor=cD0xNw%3D%3D"


def _answer(name: str, value: dict[str, Any]) -> OpenApiExample:
    return OpenApiExample(name, value=value, response_only=True)


_NEW = {
    "start_time": "2030-01-31T09:00:00+03:00",
    "stop_time": "2030-01-31T18:00:00+03:00",
    "window_start": "09:00",
    "window_end": "21:00",
    "text": _TEXT,
    "filters": {"operator_code": ["999", "926"], "tag": "new"},
    "external_id": "delivery-31",
}
_TO_WHOM = "A mailing to two operators' new clients"
CHANGED_MAILING = OpenApiExample(_TO_WHOM, value=_NEW, request_only=True)
NEW_MAILING = OpenApiExample(_TO_WHOM, value=_NEW, request_only=True)
NEW_DRAFT = OpenApiExample("A draft", value={**_NEW, "status": "draft"}, request_only=True)
MAILING = _answer(
    "A mailing that runs",
    {
        "id": 17,
        "start_time": "2030-01-31T06:00:00Z",
        "stop_time": "2030-01-31T15:00:00Z",
        "window_start": "09:00:00",
        "window_end": "21:00:00",
        "text": _TEXT,
        "filters": {"operator_code": ["999", "926"], "tag": "new"},
        "status": "running",
        "last_run_time": "2030-01-31T06:00:04.500000Z",
        "created_at": "2030-01-30T12:00:00.120000Z",
        "updated_at": "2030-01-31T06:00:00.070000Z",
        "text_version": 1,
        "text_change": None,
        "resends": None,
        "resent_codes": None,
        "approved_at": None,
        "external_id": "delivery-31",
    },
)
TEXT = _answer(
    "The present text", {"version": 1, "text": _TEXT, "replaced_at": None, "accepted": 875}
)
STATS = _answer(
    "A mailing that runs",
    {
        **_STATS,
        "error_codes": {"rejected": 2, "unavailable": 3},
        "text_versions": {"1": 875},
        "timezones": {"Europe/Moscow": _COUNTS},
    },
)
STATS_PAGE = _answer(
    "One of many pages", {"next": _PAGE, "previous": None, "totals": _COUNTS, "results": [_STATS]}
)
RESENT = OpenApiExample(
    "Two are sent again", value={"messages": 2}, response_only=True, status_codes=["202"]
)
CONFIRMED = OpenApiExample(
    "Three have arrived", value={"messages": 3}, response_only=True, status_codes=["202"]
)
FAILURES = _answer(
    "Five of a thousand failed",
    {
        "total": 1000,
        "messages": 5,
        "results": [
            {
                "error_code": "unavailable",
                "messages": 3,
                "retrying": 3,
                "final": 0,
                "share": 0.003,
                "first_seen_at": "2030-01-31T06:01:00Z",
                "last_seen_at": "2030-01-31T06:02:00Z",
                "example": {
                    "message": 5213,
                    "error": "HTTP 503: Service Unavailable",
                    "http_status": 503,
                    "at": "2030-01-31T06:01:07.310000Z",
                },
            }
        ],
    },
)
EXPLANATION = _answer(
    "A client whose tag is another one",
    {
        "verdict": "will_not_be_sent",
        "rules": [
            {
                "rule": "tag",
                "holds": False,
                "detail": "The client's tag is 'vip'; the filters ask for 'new'.",
            }
        ],
        "message": None,
        "attempts": [],
        "next": None,
    },
)
TIMELINE = _answer(
    "A minute",
    {
        "step": "minute",
        "results": [
            {
                "at": "2030-01-31T06:00:00Z",
                "pending": 1000,
                "success": 875,
                "fail": 2,
                "retrying": 3,
            }
        ],
    },
)
_STATEMENT = {
    "statement": {
        "type": "Mailing Manager delivery statement 1",
        "mailing": {
            "id": 1,
            "external_id": None,
            "status": "finished",
            "start_time": "2030-01-31T06:00:00Z",
            "stop_time": "2030-01-31T15:00:00Z",
        },
        "number": 1,
        "follows": None,
        "messages": {
            "audience": 1000,
            "success": 996,
            "failed": {"rejected": 3},
            "unconfirmed": 1,
        },
        "sent": {"first_at": "2030-01-31T06:00:01Z", "last_at": "2030-01-31T06:00:42Z"},
        "texts": [
            {
                "version": 1,
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "success": 996,
            }
        ],
        "tree": {
            "hash": "SHA-256, RFC 6962",
            "size": 1000,
            "root": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
        },
        "key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        "made_at": "2030-01-31T15:01:30Z",
    },
    "signature": "5VZDAMNgrHKQhuLMgG6CioSHfx64Qjd5k9bHPcnGtnr2nrPzRyk4jLYQb1sDc8yXa1d6OQjhwLkE"
    "IGZ4T2JqBw==",
}
STATEMENT = _answer("A mailing that is finished", _STATEMENT)
PROVEN_STATEMENT = _answer(
    "The third message",
    {
        **_STATEMENT,
        "proof": {
            "leaf": '{"at":"2030-01-31T06:00:01Z","message":"3","outcome":"success","reason":"",'
            '"salt":"3c4a1f09be7d52c8a6f0117be92d55e1","sender_id":"4611686018427387904","text":1}',
            "index": 2,
            "path": ["5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"],
            "phone_number": "79991234567",
            "sender_key": "1152921504606846976",
        },
    },
)
PREVIEWED = OpenApiExample(
    "What is written so far",
    value={"text": _TEXT, "filters": {"tag": "new"}, "stop_time": "2030-01-31T18:00:00+03:00"},
    request_only=True,
)
PREVIEW = _answer(
    "All but some get it in time",
    {
        "audience": {
            "total": 1000,
            "is_estimate": False,
            "by_timezone": {"Europe/Moscow": 900, "Asia/Vladivostok": 100},
            "by_operator_code": {"999": 600, "926": 400},
            "by_tag": {"new": 1000},
            "written_to_lately": 12,
        },
        "text": {
            "encoding": "GSM-7",
            "characters": 46,
            "units": 46,
            "parts": 1,
            "forces_ucs2": [],
            "parts_without": 1,
        },
        "forecast": {
            "deliverable": 900,
            "undeliverable": 100,
            "reasons": {"too_late": 0, "window_never_opens": 100},
            "finishes_at": "2030-01-31T06:00:09Z",
            "rate_needed": 0.03,
            "rate": 100.0,
            "rate_source": "limit",
            "ahead": 0,
        },
        "warnings": [
            {
                "code": "window_never_opens",
                "detail": "For 100 clients the window is not open once before the stop time, by "
                "their own local time.",
            }
        ],
    },
)
TEST = OpenApiExample("To oneself", value={"phone_number": "+7 999 123-45-67"}, request_only=True)
TESTED = _answer(
    "The sender took it",
    {
        "outcome": "accepted",
        "http_status": 200,
        "error_code": "",
        "error": "",
        "seconds": 0.083,
        "sender_id": "-4180612309871245903",
    },
)
