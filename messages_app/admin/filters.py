"""Filters of the console's list of messages: exact values only, because there are millions."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter

from messages_app.models import ErrorCode, Message
from toolkit.console.lists import ExactFilter


class MailingFilter(ExactFilter):
    """Messages of one mailing."""

    title = "mailing (its id)"
    parameter_name = "mailing"


class ClientFilter(ExactFilter):
    """Messages to one client."""

    title = "client (its id)"
    parameter_name = "client"


class StatusFilter(ChoicesDropdownFilter):
    """Messages by status."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep messages with the chosen status."""
        found: QuerySet[Any] = super().queryset(request, queryset)
        has_failed = self.value() == Message.Status.FAIL
        # Each failed one has an error code, and only that has an index.
        return found.exclude(error_code="") if has_failed else found


class ErrorCodeFilter(DropdownFilter):
    """Messages that failed for one reason."""

    title = "error code"
    parameter_name = "error_code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return all error codes."""
        return [(code, code.replace("_", " ")) for code in ErrorCode.values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep messages with the chosen error code; an unknown one keeps none."""
        code = self.value()
        if not code:
            return queryset
        return queryset.filter(error_code=code) if code in ErrorCode else queryset.none()
