"""Query parameters of the list of mailings."""

from django_filters import CharFilter

from mailings.models import Mailing
from toolkit.rest.filters import ISO, MomentFilter, WalkedFilterSet, choices, texts


class MailingFilterSet(WalkedFilterSet):
    """By status, by time, and by words of the text."""

    status = choices(Mailing.Status, help_text="What has become of it.")
    start_time_after = MomentFilter("start_time", "gte", help_text=ISO)
    start_time_before = MomentFilter("start_time", "lt", help_text=ISO)
    stop_time_after = MomentFilter("stop_time", "gte", help_text=ISO)
    stop_time_before = MomentFilter("stop_time", "lt", help_text=ISO)
    external_id = texts(help_text="Exactly this external id.")
    search = CharFilter("text", "icontains", help_text="Part of the text.")

    class Meta:
        model = Mailing
        fields = ("status", "external_id")
