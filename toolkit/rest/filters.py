"""Query parameters of lists: unknown ones are refused; filters that several apps use."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError as FormError
from django.db.models import BigIntegerField, QuerySet, TextChoices
from django.http import QueryDict
from django_filters import Filter, FilterSet, IsoDateTimeFilter
from django_filters.fields import IsoDateTimeField
from django_filters.rest_framework import DjangoFilterBackend
from django_filters.utils import translate_validation
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from toolkit.rest.choosing import FIELDS
from toolkit.rest.fields import MomentField
from toolkit.rest.walking import Leg, plain_leg

ISO = "ISO 8601 with the offset from UTC, a plus sign of which is written %2B."


class StrictFilterBackend(DjangoFilterBackend):
    """Refuses query parameters that would not select what was meant; see `check_parameters`."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> Any:
        """Return the rows that the query parameters select.

        Views of a single row (`detail`) have no query parameters: their rows are not filtered, and
        unknown parameters are not refused.

        Raises:
            ValidationError: a parameter is unknown, empty, repeated in vain, or malformed.
        """
        if getattr(view, "detail", False):
            return queryset
        filterset_class: Any = self.get_filterset_class(view, queryset)
        filters = filterset_class.base_filters if filterset_class else {}
        pages = {"cursor", "page_size"} if getattr(view, "paginator", None) else set()
        check_parameters(
            request.query_params,
            known={*filters, *pages, *getattr(view, "choosing", ())},
            several={
                FIELDS,
                *(name for name, each in filters.items() if isinstance(each, SeveralFilter)),
            },
        )
        filterset = self.get_filterset(request, queryset, view)
        if filterset is None:
            return queryset
        if not filterset.is_valid():
            raise translate_validation(filterset.errors)
        if set(filters) & set(request.query_params):
            view.legs = filterset.legs()  # type: ignore[attr-defined]  # for `CursorPages`
        return filterset.qs


class WalkedFilterSet(FilterSet):
    """Filters of a list that may have millions of rows, and the way through it."""

    def legs(self) -> Sequence[Leg]:
        """Return the legs that have all rows which these parameters select, and few others.

        Without a better one, that is the list itself, newest first.
        """
        return [plain_leg()]

    def values(self, name: str) -> Any:
        """Return the parsed value of a parameter, or the list of its values; empty if not given."""
        return self.form.cleaned_data.get(name)


def check_parameters(
    parameters: QueryDict, *, known: Collection[str], several: Collection[str] = ()
) -> None:
    """Refuse parameters that would be ignored, in part or as a whole, and so select all rows.

    Args:
        parameters: those of a request.
        known: the names that there are.
        several: the names of those that may be repeated: their values are alternatives.

    Raises:
        ValidationError: one is unknown, has no value, or more than one that cannot all hold.
    """
    if unknown := sorted(set(parameters) - set(known)):
        sentence = f"There is no such parameter; there are {', '.join(sorted(known))}."
        raise ValidationError({unknown[0][:64]: sentence}, code="unknown_parameter")
    for name, values in parameters.lists():
        if not all(value.strip() for value in values):
            sentence = "Write a value, or leave the parameter out."
            raise ValidationError({name: sentence}, code="empty_parameter")
        if len(values) > 1 and name not in several:
            sentence = "This parameter can have one value only."
            raise ValidationError({name: sentence}, code="repeated_parameter")


class SeveralFormField(forms.Field):
    """A query parameter that may be repeated: a list of what one field makes of each value."""

    widget = forms.MultipleHiddenInput

    def __init__(self, *, one: forms.Field, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.one = one

    def clean(self, value: Any) -> list[Any]:
        """Return the values.

        Raises:
            FormError: one of them is malformed.
        """
        return [self.one.clean(each) for each in value or []]


class SeveralFilter(Filter):
    """Keeps rows that have one of the values of a parameter, which may be repeated.

    `one` parses a value, and `schema` describes one for OpenAPI.
    """

    field_class = SeveralFormField

    def __init__(
        self, *, one: forms.Field, schema: dict[str, Any], help_text: str, **kwargs: Any
    ) -> None:
        sentence = f"{help_text} May be repeated: any of the values."
        super().__init__(lookup_expr="in", one=one, help_text=sentence, **kwargs)
        described = {"type": "array", "items": schema, "description": sentence}
        extend_schema_field(described)(self)


def texts(*, help_text: str, validators: Collection[Any] = ()) -> SeveralFilter:
    """Return a filter by texts."""
    one = forms.CharField(validators=list(validators))
    return SeveralFilter(one=one, schema={"type": "string", "minLength": 1}, help_text=help_text)


def choices(values: type[TextChoices], *, help_text: str) -> SeveralFilter:
    """Return a filter by values of an enumeration."""
    known = f"There is no such value; there are {', '.join(values.values)}."
    one = forms.ChoiceField(choices=values.choices, error_messages={"invalid_choice": known})
    return SeveralFilter(
        one=one, schema={"type": "string", "enum": values.values}, help_text=help_text
    )


def ids(*, help_text: str, **kwargs: Any) -> SeveralFilter:
    """Return a filter by ids of rows that are referred to."""
    schema = {"type": "integer", "minimum": 1, "maximum": BigIntegerField.MAX_BIGINT}
    return SeveralFilter(one=IdFormField(), schema=schema, help_text=help_text, **kwargs)


class MomentFormField(IsoDateTimeField):
    """A time in a query parameter, parsed as MomentField parses it in a body."""

    def to_python(self, value: str | None) -> datetime | None:
        """Return the time in UTC; None if there is none.

        Raises:
            FormError: it is not a time with an offset from UTC.
        """
        if not value:
            return None
        try:
            moment: datetime = MomentField().to_internal_value(value)
        except ValidationError as error:
            reason: Any = error.detail
            raise FormError(str(reason[0]), code=reason[0].code) from None
        return moment


class MomentFilter(IsoDateTimeFilter):
    """Keeps rows before or after a time."""

    field_class = MomentFormField


class IdFormField(forms.IntegerField):
    """An id in a query parameter: a whole number from 1 to 2^63 - 1."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, min_value=1, max_value=BigIntegerField.MAX_BIGINT)
