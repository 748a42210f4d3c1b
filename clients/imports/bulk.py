"""Saves clients that a program sends, up to 10,000 in one call."""

from collections.abc import Iterator, KeysView, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from django.db import transaction

from clients.imports.saving import Saved, save
from clients.imports.values import (
    FIELDS,
    KEY,
    NAMES,
    OPTIONAL,
    Problem,
    RefusedError,
    Values,
    checked,
    owners_of,
    with_own_id,
)
from clients.models import Client
from toolkit.history.models import Deed
from toolkit.history.recording import many, record_deed

MAX_CLIENTS = 10_000

# What may not be said to be empty: nothing is there as its default.
NEVER_EMPTY = (KEY, "timezone")


@dataclass
class Batch:
    """The rows that can be saved, and what is wrong with the others, by their index."""

    rows: dict[str, Values] = field(default_factory=dict)  # by number
    # {field: the numbers of those for whom it is given}
    given: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in OPTIONAL})
    problems: list[tuple[int, Problem]] = field(default_factory=list)
    rejected: int = 0

    def add(self, values: Values, given: KeysView[str]) -> None:
        """Add a row that can be saved, with the names of the fields that are given for it."""
        number = str(values[0])
        self.rows[number] = values
        for name in given & self.given.keys():
            self.given[name].append(number)

    @contextmanager
    def rejecting(self, index: int) -> Iterator[None]:
        """Note what is wrong with a row, if it is refused meanwhile."""
        try:
            yield
        except RefusedError as error:
            self.rejected += 1
            self.problems += [(index, problem) for problem in error.problems]


def check(clients: Sequence[object]) -> Batch:
    """Check clients as they come from JSON: each an object with the number and what else is known.

    A number may be there once only: the second one would change the first, in an order that no
    program can have meant.
    """
    batch = Batch()
    places: dict[str, int] = {}
    found: dict[int, tuple[Values, KeysView[str]]] = {}
    for index, client in enumerate(clients):
        with batch.rejecting(index):
            given = _texts(client)
            values = checked([given.get(name, "") for name in NAMES])
            first = places.setdefault(str(values[0]), index)
            if first != index:
                raise RefusedError([_repeated(first)])
            found[index] = values, given.keys()
    owners = owners_of(values for values, _ in found.values())
    for index, (values, names) in found.items():
        with batch.rejecting(index):
            batch.add(with_own_id(values, owners), names)
    batch.problems.sort(key=itemgetter(0))
    return batch


def save_batch(batch: Batch) -> Saved:
    """Add the clients; of known ones change what is given for them, and nothing else."""
    if not batch.rows:
        return Saved(0, 0, 0)
    columns = {
        name: None if len(numbers) == len(batch.rows) else numbers
        for name, numbers in batch.given.items()
        if numbers
    }
    with transaction.atomic():
        saved = save(list(batch.rows.values()), columns)
        record_deed(Deed.IMPORTED, many(Client), details=saved._asdict())
    return saved


def _texts(client: object) -> dict[str, str]:
    """Return the texts of a client, without blanks around them.

    Raises:
        RefusedError: it is no object, a field is unknown or no text, or the number is missing.
    """
    if not isinstance(client, dict):
        raise RefusedError([Problem("", "invalid", "Write an object with a phone_number.")])
    problems = [problem for name, value in client.items() if (problem := _misfit(name, value))]
    if KEY not in client:
        problems.append(Problem(KEY, "required", "This field is required."))
    if problems:
        raise RefusedError(problems)
    return {name: (text or "").strip() for name, text in client.items()}


def _misfit(name: str, value: Any) -> Problem | None:
    """Return why a value cannot be that of a field, whatever the rules of the model are."""
    if name not in NAMES:
        shown = name[:64].encode(errors="backslashreplace").decode()
        sentence = f"There is no such field; there are {', '.join(NAMES)}."
        return Problem(shown, "unknown_field", sentence)
    if value is None and FIELDS[name].null:
        return None
    if not isinstance(value, str):
        return Problem(name, "invalid", "Write a text, in quotation marks.")
    if name in NEVER_EMPTY and not value.strip():
        return Problem(name, "blank", "This field may not be blank.")
    return None


def _repeated(first: int) -> Problem:
    return Problem(
        KEY, "repeated_number", f"This number is there already, in the client with index {first}."
    )
