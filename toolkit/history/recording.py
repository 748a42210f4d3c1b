"""Records deeds, in the transaction of the change: neither is ever there without the other."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Model
from django.db.transaction import TransactionManagementError
from django.utils import translation

from toolkit.history.actors import current_actor
from toolkit.history.kinds import key_of, kind_of
from toolkit.history.models import Deed, Entry

HIDDEN = "(hidden)"
HIDDEN_FIELDS = {"password"}  # that it changed is recorded, and not what it is

Values = Mapping[str, Any]
Changes = Mapping[str, list[Any]]


@dataclass(frozen=True)
class Subject:
    """What something is done to: one object, or many of a kind (without a key)."""

    kind: str
    key: str
    text: str


def subject_of(row: Model) -> Subject:
    """Return a row as the subject of a deed; to be kept where the row is about to be deleted."""
    kind = kind_of(type(row))
    key = key_of(row)
    with translation.override(settings.LANGUAGE_CODE):  # what is kept is in one language
        # Other packages' tokens call themselves by a hash of the secret.
        text = f"Token {key}" if hasattr(row, "digest") else str(row)
    return Subject(kind, key, text)


def many(model: type[Model]) -> Subject:
    """Return many rows of a model as the subject of a deed."""
    with translation.override(settings.LANGUAGE_CODE):
        return Subject(kind_of(model), "", str(model._meta.verbose_name_plural).capitalize())


def record_deed(
    deed: Deed,
    subject: Model | Subject,
    *,
    changes: Changes | None = None,
    details: Values | None = None,
) -> None:
    """Record what is done, by whoever is at work. The caller has a transaction open.

    Raises:
        TransactionManagementError: there is none, so the change might be kept without the entry.
    """
    if not connection.in_atomic_block:
        raise TransactionManagementError("A deed is recorded in the transaction of its change.")
    entry_of(deed, subject, changes=changes, details=details).save(force_insert=True)


def record_deeds(deed: Deed, rows: Iterable[Model]) -> None:
    """Record that the same is done to several objects, an entry each, with one statement."""
    Entry.objects.bulk_create([entry_of(deed, row) for row in rows])


def entry_of(
    deed: Deed,
    subject: Model | Subject,
    *,
    changes: Changes | None = None,
    details: Values | None = None,
) -> Entry:
    """Return the entry of a deed, not saved yet."""
    actor = current_actor()
    of = subject_of(subject) if isinstance(subject, Model) else subject
    return Entry(
        door=actor.door,
        user_id=actor.user_id,
        username=actor.username[:150],
        token=actor.token[:64],
        deed=deed,
        kind=of.kind,
        key=of.key[:64],
        text=of.text[:255],
        changes=dict(changes or {}),
        details=dict(details or {}),
    )


class LongDeed:
    """A deed of many transactions, such as an import: one entry, whose numbers each one adds to."""

    def __init__(self, deed: Deed, subject: Subject) -> None:
        self._entry = entry_of(deed, subject)

    def note(self, details: Values) -> None:
        """Record in the transaction that is open how far it has come."""
        if not connection.in_atomic_block:
            raise TransactionManagementError("A deed is recorded in the transaction of its change.")
        self._entry.details = dict(details)
        self._entry.save()


def values_of(row: Model, fields: Collection[str]) -> dict[str, Any]:
    """Return the values of fields, to be compared later; of a foreign key the id."""
    names = {name: row._meta.get_field(name) for name in fields}
    return {name: getattr(row, getattr(field, "attname", name)) for name, field in names.items()}


def differences(before: Values, after: Values) -> dict[str, list[Any]]:
    """Return what differs: {field: [before, after]}, as JSON can have it.

    Of what was created, or deleted, there is nothing before, or after, and of that only what is
    not empty is told.
    """
    changes = {}
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old != new and not (old in (None, "") and new in (None, "")):
            changes[name] = [_shown(name, old), _shown(name, new)]
    return changes


def _shown(name: str, value: Any) -> Any:
    if value is not None and name in HIDDEN_FIELDS:
        return HIDDEN
    if value is None or isinstance(value, bool | int | float | str | list | dict):
        return value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)
