"""What a row says of a client: checked by the rules of the model, and as it is stored."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from django.core.exceptions import ValidationError

from clients import phone_numbers
from clients.models import Client
from toolkit import time_zones

KEY = "phone_number"
OPTIONAL = ("operator_code", "tag", "timezone")
NAMES = (KEY, *OPTIONAL)
FIELDS = {field.name: field for field in Client._meta.fields}

Values = tuple[str, ...]  # of NAMES, as they are stored


class Problem(NamedTuple):
    """What is wrong with one value of a row."""

    attr: str
    code: str
    detail: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.attr} {self.value[:40]!r}: {self.detail}"


class RefusedError(Exception):
    """A row cannot be saved; `problems` is everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(" ".join(map(str, problems)))
        self.problems = problems


def checked(raw: Sequence[str]) -> Values:
    """Return the values of a client's fields.

    Args:
        raw: a text for each of NAMES, without blanks around it; "" is the model's default.

    Raises:
        RefusedError: with everything that is wrong with them.
    """
    (given_code, tag, zone), problems = zip(*map(_checked, OPTIONAL, raw[1:]), strict=True)
    try:
        number, code = phone_numbers.normalise_with_code(raw[0])
    except ValidationError as error:
        problems = (_problem(KEY, raw[0], error), *problems)
    if any(problems):
        raise RefusedError([problem for problem in problems if problem])
    return number, given_code or code, tag, zone


@lru_cache(maxsize=1_000)
def _checked(name: str, text: str) -> tuple[str, Problem | None]:
    """Return the value of a field as it is stored, or what is wrong with it.

    Cached, because many rows share few tags, codes and zones, and the model's validation takes
    longer than the rest of a row.
    """
    field = FIELDS[name]
    try:
        if name == "timezone" and text:
            time_zones.validate(text)
        value = field.clean(text, None) if text else field.get_default()
        return str(field.get_prep_value(value)), None
    except ValidationError as error:
        return "", _problem(name, text, error)


def _problem(name: str, text: str, error: ValidationError) -> Problem:
    code = getattr(error.error_list[0], "code", None) or "invalid"
    return Problem(name, code, " ".join(error.messages), text)
