"""`?fields=` and `?expand=`: what of its rows a list, or the page of one, answers with.

Why it is so is in docs/adr/0042-chosen-fields.md.
"""

from collections.abc import Collection
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.fields import SkipField
from rest_framework.request import Request

FIELDS, EXPAND = "fields", "expand"
EXPANDED = "expanded"  # the field that has what was asked for by `expand`


def choose_fields(serializer: Any, request: Request) -> None:
    """Leave those fields in a serializer that are asked for; all, if nothing is said.

    Raises:
        ValidationError: there is no such field.
    """
    if FIELDS not in request.query_params:
        return
    fields = getattr(serializer, "child", serializer).fields
    chosen = {
        name.strip() for text in request.query_params.getlist(FIELDS) for name in text.split(",")
    }
    if unknown := sorted(chosen - set(fields)):
        sentence = f"There is no field {unknown[0][:64]!r}; there are {', '.join(fields)}."
        raise ValidationError({FIELDS: sentence}, code="unknown_field")
    for name in set(fields) - chosen:
        del fields[name]


def expansion_of(request: Request, known: Collection[str]) -> str:
    """Return which row that each row refers to is asked for, too; nothing if none is.

    Raises:
        ValidationError: none like that can be.
    """
    asked = request.query_params.get(EXPAND, "")
    if EXPAND in request.query_params and asked not in known:
        sentence = f"This cannot be expanded; there is {', '.join(known)}."
        raise ValidationError({EXPAND: sentence}, code="invalid_choice")
    return asked


class Expanded(serializers.Serializer[Any]):
    """Rows that a row refers to; there only in answers to `expand`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, source="*", read_only=True, **kwargs)

    def get_attribute(self, instance: Any) -> Any:
        """Return the row, of which the fields are those that it refers to.

        Raises:
            SkipField: nothing was asked for.
        """
        if not self.context.get(EXPAND):
            raise SkipField
        return instance
