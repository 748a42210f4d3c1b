"""What a request to send a message must look like (docs/sender-api.md)."""

from __future__ import annotations

import json
from typing import NamedTuple, TypeGuard

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1


class Message(NamedTuple):
    """One message, as the sender API receives it."""

    id: int
    phone: int
    text: str


class ContractError(ValueError):
    """The request is not one the sender API accepts; the text says why."""


def read_message(body: bytes, path_id: bytes) -> Message:
    """Return the message in the body, or raise ContractError.

    The id must be the one in the path: the real service answers 400 otherwise.
    """
    data = read_object(body)
    id_, phone, text = data.get("id"), data.get("phone"), data.get("text")
    if not is_int64(id_):
        raise ContractError("id must be an int64.")
    if not is_int64(phone):
        raise ContractError("phone must be an int64.")
    if not isinstance(text, str):
        raise ContractError("text must be a string.")
    if b"%d" % id_ != path_id:
        raise ContractError("id must be the same in the path and in the body.")
    return Message(id_, phone, text)


def read_object(body: bytes) -> dict[str, object]:
    """Return the JSON object in the body, or raise ContractError."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ContractError("The body must be JSON.") from error
    if not isinstance(data, dict):
        raise ContractError("The body must be a JSON object.")
    return data


def is_int64(value: object) -> TypeGuard[int]:
    """Tell whether the value is a whole number of 64 bits; True and 1.0 are not."""
    return type(value) is int and INT64_MIN <= value <= INT64_MAX
