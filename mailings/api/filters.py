"""How a list of mailings can be narrowed."""

from django_filters import CharFilter, FilterSet, IsoDateTimeFilter

from mailings.models import Mailing


class MailingFilterSet(FilterSet):
    """By status, by time, and by words of the text."""

    start_time_after = IsoDateTimeFilter("start_time", "gte", help_text="ISO 8601.")
    start_time_before = IsoDateTimeFilter("start_time", "lt", help_text="ISO 8601.")
    stop_time_after = IsoDateTimeFilter("stop_time", "gte", help_text="ISO 8601.")
    stop_time_before = IsoDateTimeFilter("stop_time", "lt", help_text="ISO 8601.")
    search = CharFilter("text", "icontains", help_text="Part of the text.")

    class Meta:
        """The fields that can be asked for."""

        model = Mailing
        fields = ("status",)
