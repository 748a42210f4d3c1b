"""Filters of the console's list of messages: exact values only, because there are millions."""

from typing import Any, cast

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter

from messages_app.models import ErrorCode, Message, Standing
from messages_app.querysets import MessageQuerySet
from toolkit.console.lists import ExactFilter


class MailingFilter(ExactFilter):
    """Messages of one mailing."""

    title = _("mailing (its id)")
    parameter_name = "mailing"


class ClientFilter(ExactFilter):
    """Messages to one client."""

    title = _("client (its id)")
    parameter_name = "client"


class StatusFilter(ChoicesDropdownFilter):
    """Messages by status."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep messages with the chosen status."""
        found: QuerySet[Any] = super().queryset(request, queryset)
        has_failed = self.value() == Message.Status.FAIL
        # Each failed one has an error code, and only that has an index.
        return found.exclude(error_code="") if has_failed else found


class StandingFilter(DropdownFilter):
    """Messages as the panel of a mailing counts them."""

    title = _("how it stands")
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return all standings."""
        return list(Standing.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep messages that stand so; an unknown word keeps none."""
        value = self.value()
        return cast(MessageQuerySet, queryset).having_standing(value) if value else queryset


class ErrorCodeFilter(DropdownFilter):
    """Messages that failed for one reason."""

    title = _("reason of failure")
    parameter_name = "error_code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return all error codes, as what they mean."""
        return list(ErrorCode.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep messages with the chosen error code; an unknown one keeps none."""
        code = self.value()
        if not code:
            return queryset
        return queryset.filter(error_code=code) if code in ErrorCode else queryset.none()
