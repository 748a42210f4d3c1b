"""Pagination of lists, by cursor."""

import re
from typing import Any, NoReturn

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.views import APIView

MAX_PAGE_SIZE = 1000


class CursorPages(CursorPagination):
    """Pages that neither skip nor repeat rows while rows are added: newest first, by id.

    A view with another order names its column as `ordering`; that must hold whole numbers, each of
    them once in the list.
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

    def get_ordering(
        self, request: Request, queryset: QuerySet[Any], view: APIView
    ) -> tuple[str, ...]:
        """Return the column that orders the rows."""
        return (getattr(view, "ordering", self.ordering),)

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Return the cursor of the request; None is the first page.

        Raises:
            ValidationError: the cursor is not from another page's `next` or `previous`.
        """
        try:
            cursor = super().decode_cursor(request)
        except NotFound:
            _refuse_cursor()
        if cursor and not re.fullmatch(r"[0-9]{1,18}", str(cursor.position)):
            _refuse_cursor()
        return cursor

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """Describe the two parameters for OpenAPI."""
        cursor = {
            "name": "cursor",
            "in": "query",
            "description": "Where the page begins; taken from another page's next or previous.",
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
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }


def _refuse_cursor() -> NoReturn:
    raise ValidationError(
        {"cursor": "There is no such page. Follow next and previous, or leave cursor out."},
        code="invalid_cursor",
    )
