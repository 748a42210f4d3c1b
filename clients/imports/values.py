"""What a row says of a client: checked by the rules of the model, and as it is stored."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from django.core.exceptions import ValidationError

from clients import phone_numbers
from clients.models import Client
from toolkit import time_zones

KEY = "phone_number"
SHARED = ("operator_code", "tag", "timezone")  # by many clients
EXTERNAL_ID = "external_id"
OPTIONAL = (*SHARED, EXTERNAL_ID)
NAMES = (KEY, *OPTIONAL)
FIELDS = {field.name: field for field in Client._meta.fields}

Values = tuple[str | None, ...]  # of NAMES, as they are stored; the first one is the number


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
    of_many = map(_checked_once, SHARED, raw[1:-1])
    (given_code, *others), problems = zip(*of_many, _checked(EXTERNAL_ID, raw[-1]), strict=True)
    try:
        number, code = phone_numbers.normalise_with_code(raw[0])
    except ValidationError as error:
        problems = (_problem(KEY, raw[0], error), *problems)
    if any(problems):
        raise RefusedError([problem for problem in problems if problem])
    return number, given_code or code, *others


def owners_of(rows: Iterable[Values]) -> dict[str, str]:
    """Return {external id: number} of the clients who have one of the ids in these rows."""
    if not (wanted := {row[-1] for row in rows} - {None}):
        return {}
    owners = Client.objects.filter(external_id__in=wanted).order_by()
    return {str(key): owner for key, owner in owners.values_list("external_id", "phone_number")}


def with_own_id(values: Values, owners: dict[str, str]) -> Values:
    """Return the values; note in `owners` whose external id it is from now on.

    Raises:
        RefusedError: it is another client's.
    """
    number, external_id = str(values[0]), values[-1]
    if external_id and owners.setdefault(external_id, number) != number:
        sentence = "There is already a client with this external id."
        raise RefusedError([Problem(EXTERNAL_ID, "external_id_taken", sentence, external_id)])
    return values


def _checked(name: str, text: str) -> tuple[str | None, Problem | None]:
    """Return the value of a field as it is stored, or what is wrong with it."""
    field = FIELDS[name]
    try:
        if name == "timezone" and text:
            time_zones.validate(text)
        value = field.clean(text, None) if text else field.get_default()
        return None if value is None else str(field.get_prep_value(value)), None
    except ValidationError as error:
        return "", _problem(name, text, error)


# Many rows have the same tags, codes and zones, and the model's validation takes longer than the
# rest of a row.
_checked_once = lru_cache(maxsize=1_000)(_checked)


def _problem(name: str, text: str, error: ValidationError) -> Problem:
    code = getattr(error.error_list[0], "code", None) or "invalid"
    return Problem(name, code, " ".join(error.messages), text)
