"""Query parameters of a list: strict, and the kinds that several rooms have."""

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
    """Filters that refuse what they do not know, so that a misspelt one selects nothing."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> Any:
        """Return the rows that the query parameters select; of one thing, there is no choice.

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
    """A moment in a query, read as the one in a body is."""

    def to_python(self, value: str | None) -> datetime | None:
        """Return the moment in UTC."""
        if not value:
            return None
        try:
            moment: datetime = MomentField().to_internal_value(value)
        except ValidationError as error:
            reason: Any = error.detail
            raise FormError(str(reason[0]), code=reason[0].code) from None
        return moment


class MomentFilter(IsoDateTimeFilter):
    """Before or after a moment."""

    field_class = MomentFormField


class IdFormField(forms.IntegerField):
    """An id that a database can have: from 1 to the largest of 64 bits."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, min_value=1, max_value=BigIntegerField.MAX_BIGINT)


@extend_schema_field({"type": "integer", "minimum": 1, "maximum": BigIntegerField.MAX_BIGINT})
class IdFilter(NumberFilter):
    """Whose messages they are."""

    field_class = IdFormField

    def get_max_validator(self) -> None:
        """Leave the limits to the field."""
