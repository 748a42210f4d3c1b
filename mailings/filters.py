"""A mailing's filters: which clients it is for, and what may be written there."""

from django.core.exceptions import ValidationError

from clients import tags
from clients.tags import MAX_LENGTH
from toolkit import time_zones

KEYS = ("operator_code", "tag", "timezone")
MAX_VALUES = 1000


def validate_filters(filters: object) -> None:
    """Refuse what is not an object of known keys with a value or a list of values each.

    Raises:
        ValidationError: with a sentence that names the key and says what may stand there.
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
