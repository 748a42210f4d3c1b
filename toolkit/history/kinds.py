"""The kinds of things that have a history: {"mailings": "mailings.mailing"}, from the settings.

A third name in a label is the column that names a row instead of its id: that of a token is a hash
of the secret.
"""

from typing import TYPE_CHECKING

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.validators import RegexValidator

if TYPE_CHECKING:
    from django.db.models import Model

# What is written for one object, such as mailings/12, and for deeds on many, such as clients.
OBJECT = r"^[a-z_]{1,32}(/[^/\s]{1,64})?\Z"
validate_object = RegexValidator(
    OBJECT,
    "Write a kind and an id, such as mailings/12, or a kind, such as clients, for what was done "
    "to many at once.",
    code="invalid_object",
)


def kind_of(model: "type[Model]") -> str:
    """Return the kind of a model's rows.

    Raises:
        ImproperlyConfigured: the setting HISTORY_KINDS does not have it.
    """
    for kind, label in settings.HISTORY_KINDS.items():
        if _split(label)[0] == model._meta.label_lower:
            return str(kind)
    raise ImproperlyConfigured(f"HISTORY_KINDS has no name for {model._meta.label}.")


def key_of(row: "Model") -> str:
    """Return what names a row among those of its kind."""
    _, column = _split(settings.HISTORY_KINDS[kind_of(type(row))])
    return str(getattr(row, column))


def model_of(kind: str) -> "type[Model] | None":
    """Return the model whose rows are of a kind; None if there is no such kind."""
    label = settings.HISTORY_KINDS.get(kind)
    return apps.get_model(_split(label)[0]) if label else None


def view_permission(kind: str) -> str | None:
    """Return the permission to see rows of a kind; None if there is no such kind."""
    model = model_of(kind)
    return f"{model._meta.app_label}.view_{model._meta.model_name}" if model else None


def _split(label: str) -> tuple[str, str]:
    app, model, *column = label.split(".")
    return f"{app}.{model}", column[0] if column else "pk"
