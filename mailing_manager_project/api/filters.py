"""Query parameters of a list."""

from typing import Any, NoReturn

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView


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
