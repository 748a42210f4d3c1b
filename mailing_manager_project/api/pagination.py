"""Pages of a list."""

from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

MAX_PAGE_SIZE = 1000


class CursorPages(CursorPagination):
    """Pages that stay right and fast while rows are added: newest first, by id."""

    ordering = "-id"
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE

    def get_page_size(self, request: Request) -> int:
        """Return the size asked for, at most 1000.

        Raises:
            ValidationError: it is not a positive number.
        """
        raw = request.query_params.get("page_size", str(self.page_size))
        if not raw.isdecimal() or not raw.strip("0"):
            raise ValidationError({"page_size": f"Write a number from 1 to {MAX_PAGE_SIZE}."})
        return min(int(raw[:20]), MAX_PAGE_SIZE)

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Return the place a page begins at.

        Raises:
            NotFound: the cursor is not one that was handed out.
        """
        cursor = super().decode_cursor(request)
        if cursor and cursor.position is not None and not str(cursor.position).isdecimal():
            raise NotFound(self.invalid_cursor_message)
        return cursor
