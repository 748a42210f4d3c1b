"""Pagination of lists, by cursor."""

import re
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlsplit

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from toolkit.rest.walking import Place, Walk, plain_leg

MAX_PAGE_SIZE = 1000
# Of a cursor: the leg's key, if it has one, and the value of its column.
POSITION = r"[0-9]{1,18}|(?:[0-9]{1,18}\.){1,2}[0-9]{0,18}"


class CursorPages(CursorPagination):
    """Pages that neither skip nor repeat rows while rows are added: newest first, by id.

    A view with another order names its column as `ordering`; that must hold whole numbers, each of
    them once in the list. Filters may have an order of their own (`StrictFilterBackend`).

    A page may have fewer rows than asked for, or none, and yet a next one: where few rows meet a
    filter, it ends after so many were looked at (`toolkit.rest.walking`).
    """

    ordering = "-id"
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE

    def get_page_size(self, request: Request) -> int:
        """Return the size asked for.

        Raises:
            ValidationError: it is not a number from 1 to 1000.
        """
        raw = request.query_params.get("page_size", str(self.page_size))
        # Not all of its digits are parsed: there may be thousands.
        size = int(raw.lstrip("0")[:20] or 0) if re.fullmatch("[0-9]+", raw) else 0
        if not 1 <= size <= MAX_PAGE_SIZE:
            raise ValidationError({"page_size": f"Write a number from 1 to {MAX_PAGE_SIZE}."})
        return size

    def paginate_queryset(
        self, queryset: Any, request: Request, view: APIView | None = None
    ) -> list[Any]:
        """Return the rows of the page that is asked for.

        Raises:
            ValidationError: the size or the cursor is none.
        """
        self.base_url = request.build_absolute_uri()
        self.page_size = self.get_page_size(request)
        walk = _walk(queryset, view, self.ordering)
        cursor = self.decode_cursor(request)
        is_backward = bool(cursor and cursor.reverse)
        start = _place(cursor, walk) if cursor else None
        found = walk.read(self.page_size + 1, start=start, is_backward=is_backward)
        shown = found.steps[: self.page_size]
        ahead = shown[-1][1] if len(found.steps) > len(shown) else found.up_to
        behind = shown[0][1] if start and shown else start and _turned(start)
        self._next, self._previous = (behind, ahead) if is_backward else (ahead, behind)
        rows = [row for row, _ in shown]
        return rows[::-1] if is_backward else rows

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Return the cursor of the request; None is the first page.

        Raises:
            ValidationError: the cursor is not from another page.
        """
        try:
            cursor = super().decode_cursor(request)
        except NotFound:
            _refuse_cursor()
        if cursor and not re.fullmatch(POSITION, str(cursor.position)):
            _refuse_cursor()
        return cursor

    def get_next_link(self) -> str | None:
        """Return the address of the next page."""
        return self._link(self._next, reverse=False)

    def get_previous_link(self) -> str | None:
        """Return the address of the page before."""
        return self._link(self._previous, reverse=True)

    def get_paginated_response(self, data: Any) -> Response:
        """Return a page."""
        following, previous = self.get_next_link(), self.get_previous_link()
        return Response(
            {
                "next": following,
                "previous": previous,
                "next_cursor": self._cursor_in(following),
                "previous_cursor": self._cursor_in(previous),
                "results": data,
            }
        )

    def _link(self, place: Place | None, *, reverse: bool) -> str | None:
        if place is None:
            return None
        value = "" if place.value is None else place.value
        position: Any = f"{place.key}.{value}" if place.key else str(value)
        return self.encode_cursor(Cursor(int(place.includes), reverse, position))

    def _cursor_in(self, link: str | None) -> str | None:
        return parse_qs(urlsplit(link).query)[self.cursor_query_param][0] if link else None

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """Describe the two parameters for OpenAPI."""
        cursor = {
            "name": "cursor",
            "in": "query",
            "description": "Where the page begins: `next_cursor` or `previous_cursor` of "
            "another page of the same list.",
            "schema": {"type": "string"},
        }
        size = {
            "name": "page_size",
            "in": "query",
            "description": "How many to a page.",
            "schema": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_PAGE_SIZE,
                "default": self.page_size,
            },
        }
        return [cursor, size]

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe a page for OpenAPI."""
        link = {
            "type": "string",
            "nullable": True,
            "format": "uri",
            "example": "https://mailing.example.com/api/v1/clients/?cursor=cD0xMjM%3D",
        }
        cursor = {"type": "string", "nullable": True, "example": "cD0xMjM="}
        return {
            "type": "object",
            "required": ["next", "previous", "next_cursor", "previous_cursor", "results"],
            "properties": {
                "next": link,
                "previous": link,
                "next_cursor": cursor,
                "previous_cursor": cursor,
                "results": schema,
            },
        }


def _walk(rows: QuerySet[Any], view: APIView | None, ordering: str) -> Walk:
    """Return the way through a list: the one of its filters, or its plain order."""
    legs = getattr(view, "legs", ())
    plain = plain_leg(getattr(view, "ordering", ordering))
    return Walk(rows, legs or [plain], is_bounded=bool(legs) and not rows.query.is_empty())


def _place(cursor: Cursor, walk: Walk) -> Place:
    """Return the place that a cursor names.

    Raises:
        ValidationError: it is none of this list: it was handed out for other filters.
    """
    key, _, text = str(cursor.position).rpartition(".")
    column = next((leg.column for leg in walk.legs if leg.key == key), None)
    if column is None:
        _refuse_cursor()
    field = walk.rows.model._meta.get_field(column)
    return Place(key, field.to_python(text) if text else None, includes=cursor.offset > 0)


def _turned(place: Place) -> Place:
    """Return the same place for going the other way."""
    return place._replace(includes=not place.includes)


def _refuse_cursor() -> NoReturn:
    raise ValidationError(
        {
            "cursor": "There is no such page of this list. Take next_cursor or previous_cursor of "
            "another page with the same filters, or leave cursor out."
        },
        code="invalid_cursor",
    )
