"""Query parameters of the list of messages."""

from django.db.models import Q, QuerySet
from django_filters import CharFilter, ChoiceFilter, FilterSet

from messages_app.models import ErrorCode, Message
from messages_app.querysets import MessageQuerySet
from toolkit.rest.filters import IdFilter


class MessageFilterSet(FilterSet):
    """By mailing, client, status and reason of failure."""

    mailing = IdFilter(field_name="mailing_id", method="of_mailing", help_text="Id of a mailing.")
    client = IdFilter(field_name="client_id", help_text="Id of a client.")
    error_code = ChoiceFilter(
        choices=ErrorCode.choices,
        error_messages={
            "invalid_choice": f"There is no such code; there are {', '.join(ErrorCode.values)}."
        },
        help_text="Why the last attempt, or the message, failed.",
    )
    search = CharFilter(
        method="containing", help_text="Part of the phone number or of the error in words."
    )

    class Meta:
        model = Message
        fields = ("mailing", "client", "status", "error_code")

    def of_mailing(self, messages: MessageQuerySet, name: str, value: int) -> MessageQuerySet:
        """Keep messages of a mailing; of a deleted one that is being cleared away, none."""
        return messages.filter(mailing=value).of_present_mailings()

    def filter_queryset(self, queryset: QuerySet[Message]) -> QuerySet[Message]:
        """Keep messages that meet all parameters."""
        found: QuerySet[Message] = super().filter_queryset(queryset)
        has_failed = self.form.cleaned_data.get("status") == Message.Status.FAIL
        # Each failed one has an error code, and only that has an index.
        return found.exclude(error_code="") if has_failed else found

    def containing(self, messages: QuerySet[Message], name: str, value: str) -> QuerySet[Message]:
        """Keep messages whose phone number or error contains a text."""
        return messages.filter(Q(phone_number__contains=value) | Q(error__icontains=value))
