"""The audience of a mailing: what its filters may say, and which clients they select.

Filters are an object of known keys, each with a value or a list of values: values of one key are
alternatives, keys add up, {} is everyone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import CharField, Q
from django.db.models.functions import Cast
from django.db.models.lookups import In
from django.utils.translation import gettext_lazy as _

from clients import tags
from clients.tags import MAX_LENGTH
from toolkit import time_zones

# {key of filters, which is a field of the client: its name in a sentence}
NAMES = {"operator_code": _("operator"), "tag": _("tag"), "timezone": _("zone")}
KEYS = tuple(NAMES)
MAX_VALUES = 1000  # of one key

Filters = Mapping[str, str | Sequence[str]]

_TEXT = {"type": "string", "maxLength": MAX_LENGTH}
_TEXTS = {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MAX_VALUES}
# Filters in OpenAPI.
JSON_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {key: {"oneOf": [_TEXT, _TEXTS]} for key in KEYS},
    "additionalProperties": False,
}


def matching(filters: Filters, prefix: str = "") -> Q:
    """Return the condition that selects the clients of a mailing's filters.

    Values of one key are alternatives, keys add up, no keys select everyone. `prefix` is the
    lookup path to the client in queries of another model, such as "client__".
    """
    # Never an empty Q, because `Q() | other` is `other`, which would not select everyone.
    condition = Q(**{f"{prefix}pk__isnull": False})
    for field, value in filters.items():
        values = [value] if isinstance(value, str) else value
        condition &= _is_one_of(f"{prefix}{field}", values)
    return condition


def _is_one_of(path: str, values: Sequence[str]) -> Q:
    """Return the condition that the field at a lookup path has one of these values.

    A time zone that this machine does not know, whose field would refuse its name, was written by
    another one, or is no longer among the names: it is compared as text.
    """
    if path.endswith("timezone") and not time_zones.names().issuperset(values):
        return Q(In(Cast(path, CharField()), list(values)))
    return Q(**{f"{path}__in": values})


def matching_sql(filters: Filters, table: str) -> tuple[str, list[str]]:
    """Return the same as SQL on the clients' table, and its parameters.

    For statements that run several times a second, each time for other filters.
    """
    lists = as_lists(filters)
    for field in lists:
        _validate_key(field)
    conditions = [
        f"{table}.{field} IN ({', '.join(['%s'] * len(values))})" if values else "false"
        for field, values in lists.items()
    ]
    return " AND ".join(conditions) or "true", [value for each in lists.values() for value in each]


def as_lists(filters: Filters) -> dict[str, list[str]]:
    """Return filters with a list of values for each key."""
    return {
        key: [value] if isinstance(value, str) else list(value) for key, value in filters.items()
    }


def validate_filters(filters: object) -> None:
    """Refuse what is not an object of known keys with a value or a list of values each.

    Raises:
        ValidationError: with a sentence that names the key and says what its value may be.
    """
    if not isinstance(filters, dict):
        raise ValidationError(
            'Write an object such as {"operator_code": "999", "tag": ["vip", "new"]}; '
            "{} selects everyone.",
            code="invalid_filters",
        )
    for key, value in filters.items():
        _validate_key(key)
        _validate_values(key, value if isinstance(value, list) else [value])


def _validate_key(key: str) -> None:
    if key not in KEYS:
        raise _error(key, f"is not a filter; use {', '.join(KEYS)}")


def _validate_values(key: str, values: list[object]) -> None:
    if not values:
        raise _error(key, "is an empty list; name at least one value or leave the key out")
    if len(values) > MAX_VALUES:
        raise _error(key, f"has {len(values)} values; the limit is {MAX_VALUES}")
    for value in values:
        if not isinstance(value, str):
            raise _error(key, "takes a text or a list of texts")
        if not _is_readable(value):
            raise _error(key, f"takes up to {MAX_LENGTH} characters that can be read")
        if key == "timezone" and value not in time_zones.names():
            raise _error(key, f"takes IANA names such as Europe/Moscow, not {value!r}")


def _is_readable(value: str) -> bool:
    try:
        tags.validate(value)
    except ValidationError:
        return False
    return True


def _error(key: str, sentence: str) -> ValidationError:
    return ValidationError(f"{key[:MAX_LENGTH]!r} {sentence}.", code="invalid_filters")
