"""How a list of mailings can be narrowed."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django_filters import CharFilter, FilterSet, IsoDateTimeFilter
from django_filters.fields import IsoDateTimeField
from rest_framework import serializers

from mailings.api.fields import MomentField
from mailings.models import Mailing

ISO = "ISO 8601 with the offset from UTC, a plus sign of which is written %2B."


class MomentFormField(IsoDateTimeField):
    """A moment in a query, read as the one in a body is."""

    def to_python(self, value: str | None) -> datetime | None:
        """Return the moment in UTC."""
        if not value:
            return None
        try:
            moment: datetime = MomentField().to_internal_value(value)
        except serializers.ValidationError as error:
            reason: Any = error.detail
            raise ValidationError(str(reason[0]), code=reason[0].code) from None
        return moment


class MomentFilter(IsoDateTimeFilter):
    """Before or after a moment."""

    field_class = MomentFormField


class MailingFilterSet(FilterSet):
    """By status, by time, and by words of the text."""

    start_time_after = MomentFilter("start_time", "gte", help_text=ISO)
    start_time_before = MomentFilter("start_time", "lt", help_text=ISO)
    stop_time_after = MomentFilter("stop_time", "gte", help_text=ISO)
    stop_time_before = MomentFilter("stop_time", "lt", help_text=ISO)
    search = CharFilter("text", "icontains", help_text="Part of the text.")

    class Meta:
        """The fields that can be asked for."""

        model = Mailing
        fields = ("status",)
