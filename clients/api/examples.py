"""Clients in the examples of the OpenAPI document."""

from drf_spectacular.utils import OpenApiExample

CLIENT = OpenApiExample(
    "A client",
    value={
        "id": 42,
        "phone_number": "79991234567",
        "operator_code": "999",
        "tag": "vip",
        "timezone": "Europe/Moscow",
        "external_id": "crm-4711",
        "created_at": "2030-01-30T12:00:00.120000Z",
        "updated_at": "2030-01-30T12:00:00.120000Z",
    },
    response_only=True,
)
NEW_CLIENT = OpenApiExample(
    "A client to be added",
    value={
        "phone_number": "+7 999 123-45-67",
        "tag": "vip",
        "timezone": "Europe/Moscow",
        "external_id": "crm-4711",
    },
    request_only=True,
)
COUNTS = OpenApiExample(
    "Three clients",
    value={
        "total": 3,
        "operator_codes": {"999": 2, "926": 1},
        "tags": {"vip": 2, "": 1},
        "timezones": {"Europe/Moscow": 3},
    },
    response_only=True,
)
