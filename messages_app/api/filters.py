"""Query parameters of the list of messages."""

from django.db.models import Q, QuerySet
from django_filters import CharFilter, FilterSet

from clients.api.filters import having_number_part
from messages_app.api.serializers import STATUS
from messages_app.models import ErrorCode, Message
from messages_app.querysets import MessageQuerySet
from toolkit.rest.filters import choices, ids


class MessageFilterSet(FilterSet):
    """By mailing, client, status and reason of failure."""

    mailing = ids(field_name="mailing_id", method="of_mailings", help_text="Id of a mailing.")
    client = ids(field_name="client_id", help_text="Id of a client.")
    status = choices(Message.Status, help_text=STATUS)
    error_code = choices(ErrorCode, help_text="Why the last attempt, or the message, failed.")
    search = CharFilter(
        method="containing",
        help_text="Part of the phone number, written any usual way, or of the error in words.",
    )

    class Meta:
        model = Message
        fields = ("mailing", "client", "status", "error_code")

    def of_mailings(
        self, messages: MessageQuerySet, name: str, value: list[int]
    ) -> MessageQuerySet:
        """Keep messages of mailings; of a deleted one that is being cleared away, none."""
        return messages.filter(mailing__in=value).of_present_mailings()

    def filter_queryset(self, queryset: QuerySet[Message]) -> QuerySet[Message]:
        """Keep messages that meet all parameters."""
        found: QuerySet[Message] = super().filter_queryset(queryset)
        has_failed = self.form.cleaned_data.get("status") == [Message.Status.FAIL]
        # Each failed one has an error code, and only that has an index.
        return found.exclude(error_code="") if has_failed else found

    def containing(self, messages: QuerySet[Message], name: str, value: str) -> QuerySet[Message]:
        """Keep messages whose phone number or error contains a text."""
        return messages.filter(having_number_part(value) | Q(error__icontains=value))
