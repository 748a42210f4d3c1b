"""The number of rows that a list has: exact up to a cap, so that no call reads a whole table."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from toolkit.rest.walking import Walk, plain_leg

CAP = 10_000  # rows


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "More than are counted", value={"count": CAP, "is_capped": True}, response_only=True
        )
    ]
)
class CountSerializer(serializers.Serializer[Any]):
    """How many rows a list has."""

    count = serializers.IntegerField(help_text=f"{CAP:,} at most.")
    is_capped = serializers.BooleanField(
        help_text="There may be more: it is the cap, or so many were looked at that the counting "
        "ended."
    )


class CountMixin:
    """The action `count` of a view that has a list, with the list's filters."""

    @extend_schema(summary="Count the rows of the list, up to a cap", responses=CountSerializer)
    @action(detail=False, pagination_class=None)
    def count(self, request: Request) -> Response:
        """Count what these parameters select: up to 10,000.

        Where few rows meet a filter that nothing helps to find, it counts among the first 100,000
        that have to be looked at. `is_capped` says that there may be more.
        """
        view: Any = self
        rows = view.filter_queryset(view.get_queryset())
        number, is_capped = self.count_rows(rows)
        return Response({"count": number, "is_capped": is_capped})

    def count_rows(self, rows: Any) -> tuple[int, bool]:
        """Return the number of rows that were selected, and whether there may be more."""
        legs = getattr(self, "legs", ())
        return Walk(rows, legs or [plain_leg()], is_bounded=bool(legs)).count(CAP)
