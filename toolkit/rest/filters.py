"""Query parameters of lists: unknown ones are refused; filters that several apps use."""

from datetime import datetime
from typing import Any, NoReturn

from django import forms
from django.core.exceptions import ValidationError as FormError
from django.db.models import BigIntegerField, QuerySet
from django_filters import IsoDateTimeFilter, NumberFilter
from django_filters.fields import IsoDateTimeField
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from toolkit.rest.fields import MomentField


class StrictFilterBackend(DjangoFilterBackend):
    """Refuses unknown query parameters: a misspelt one would be ignored, and select all rows."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> Any:
        """Return the rows that the query parameters select.

        Views of a single row (`detail`) have no query parameters: their rows are not filtered, and
        unknown parameters are not refused.

        Raises:
            ValidationError: a parameter is unknown or its value malformed.
        """
        if getattr(view, "detail", False):
            return queryset
        filterset_class = self.get_filterset_class(view, queryset)
        known = set(filterset_class.base_filters) if filterset_class else set()
        if getattr(view, "paginator", None):
            known |= {"cursor", "page_size"}
        unknown = sorted(set(request.query_params) - known)
        if unknown:
            _refuse(unknown[0], known)
        return super().filter_queryset(request, queryset, view)


def _refuse(name: str, known: set[str]) -> NoReturn:
    raise ValidationError(
        {name[:64]: f"There is no such parameter; there are {', '.join(sorted(known))}."},
        code="unknown_parameter",
    )


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


class IdFilter(NumberFilter):
    """Keeps rows that refer to the row with an id."""

    field_class = IdFormField

    def __init__(self, *, help_text: str, **kwargs: Any) -> None:
        super().__init__(help_text=help_text, **kwargs)
        limits = {"minimum": 1, "maximum": BigIntegerField.MAX_BIGINT}
        extend_schema_field({"type": "integer", **limits, "description": help_text})(self)

    def get_max_validator(self) -> None:
        """Return None: the limits are validated by IdFormField."""
