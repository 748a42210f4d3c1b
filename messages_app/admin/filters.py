"""How the list of messages is narrowed: by exact values, because there are millions."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from messages_app.models import ErrorCode
from toolkit.console.lists import ExactFilter


class MailingFilter(ExactFilter):
    """Messages of one mailing."""

    title = "mailing (its id)"
    parameter_name = "mailing"


class ClientFilter(ExactFilter):
    """Messages to one client."""

    title = "client (its id)"
    parameter_name = "client"


class ErrorCodeFilter(DropdownFilter):
    """Messages that failed for one reason."""

    title = "error code"
    parameter_name = "error_code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the reasons that there are, by their names."""
        return [(code, code.replace("_", " ")) for code in ErrorCode.values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the messages; what is no reason has none."""
        code = self.value()
        if not code:
            return queryset
        return queryset.filter(error_code=code) if code in ErrorCode else queryset.none()
