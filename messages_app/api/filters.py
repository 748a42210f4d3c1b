"""Query parameters of the list of messages, and the way through it."""

from collections.abc import Sequence
from functools import cached_property

from django.db.models import Q, QuerySet
from django_filters import CharFilter
from rest_framework.exceptions import ValidationError

from clients.api.filters import having_number_part, whole_numbers
from clients.models import Client
from messages_app.api.serializers import STATUS
from messages_app.models import ErrorCode, Message
from messages_app.querysets import MessageQuerySet
from messages_app.walks import legs_of_mailing
from toolkit.rest.filters import ISO, MomentFilter, WalkedFilterSet, choices, ids
from toolkit.rest.walking import Leg, ids_made_between

BESIDE = "Only beside `mailing`, `client`, `phone_number` or `id`."
SENT = ("sent_after", "sent_before")
SENT_BESIDE = ("mailing", "client", "phone_number", "id")


class MessageFilterSet(WalkedFilterSet):
    """By mailing, client, status, reason of failure, and time."""

    id = ids(help_text="Id of a message.")
    mailing = ids(
        field_name="mailing_id",
        method="of_mailings",
        help_text="Id of a mailing. The list is then in descending order of mailings, and within "
        "one of clients; messages whose client was deleted come last.",
    )
    client = ids(field_name="client_id", help_text="Id of a client.")
    phone_number = whole_numbers(
        method="to_numbers",
        help_text="Whole phone number, written any usual way: of a client, or of one that was "
        "deleted since.",
    )
    status = choices(Message.Status, help_text=STATUS)
    error_code = choices(ErrorCode, help_text="Why the last attempt, or the message, failed.")
    created_after = MomentFilter("created_at", "gte", help_text=f"Planned or added then. {ISO}")
    created_before = MomentFilter("created_at", "lt", help_text=f"Planned or added before. {ISO}")
    sent_after = MomentFilter("sent_at", "gte", help_text=f"Accepted then or later. {BESIDE} {ISO}")
    sent_before = MomentFilter("sent_at", "lt", help_text=f"Accepted before. {BESIDE} {ISO}")
    search = CharFilter(
        method="containing",
        help_text="Part of the phone number, written any usual way, or of the error in words. "
        "Nothing helps to find these: pages end after 20,000 messages were looked at, also if few "
        "of them are found. Add `mailing`, or find a whole number by `phone_number`.",
    )

    class Meta:
        model = Message
        fields = ("id", "mailing", "client", "phone_number", "status", "error_code")

    def of_mailings(
        self, messages: MessageQuerySet, name: str, value: list[int]
    ) -> MessageQuerySet:
        """Keep messages of mailings; of a deleted one that is being cleared away, none."""
        return messages.filter(mailing__in=value).of_present_mailings()

    def to_numbers(self, messages: MessageQuerySet, name: str, value: list[str]) -> MessageQuerySet:
        """Keep messages to clients who have these numbers, or had them when they were deleted."""
        return messages.filter(self._to_numbers)

    def filter_queryset(self, queryset: QuerySet[Message]) -> QuerySet[Message]:
        """Keep messages that meet all parameters.

        Raises:
            ValidationError: a time of sending stands alone.
        """
        alone = [name for name in SENT if self.values(name)]
        if alone and not any(map(self.values, SENT_BESIDE)):
            sentence = "No index has these times. Add mailing, client, phone_number or id."
            raise ValidationError(dict.fromkeys(alone, sentence), code="filter_too_wide")
        found: QuerySet[Message] = super().filter_queryset(queryset)
        has_failed = self.values("status") == [Message.Status.FAIL]
        # Each failed one has an error code, and only that has an index.
        return found.exclude(error_code="") if has_failed else found

    def containing(self, messages: QuerySet[Message], name: str, value: str) -> QuerySet[Message]:
        """Keep messages whose phone number or error contains a text."""
        return messages.filter(having_number_part(value) | Q(error__icontains=value))

    def legs(self) -> Sequence[Leg]:
        """Return the way along the index that leads past the fewest messages."""
        if pks := self.values("id"):
            return [Leg(Q(), [Q(pk__in=pks)])]
        if clients := self.values("client"):
            return [Leg(Q(), [Q(client__in=clients)])]
        if self.values("phone_number"):
            return [Leg(Q(), [self._to_numbers])]
        if mailings := self.values("mailing"):
            return [
                leg for pk in sorted(set(mailings), reverse=True) for leg in legs_of_mailing(pk)
            ]
        if self.values("error_code") or self.values("status") == [Message.Status.FAIL]:
            has_failed = ~Q(error_code="") & self._made_in_time
            return [Leg(has_failed, [has_failed])]
        return [Leg(self._made_in_time, [self._made_in_time])]

    @cached_property
    def _made_in_time(self) -> Q:
        """Which ids messages have that were created between two times, and some more."""
        after, before = self.values("created_after"), self.values("created_before")
        return ids_made_between(Message.objects.all(), after, before)

    @cached_property
    def _to_numbers(self) -> Q:
        numbers = self.values("phone_number")
        clients = Client.objects.filter(phone_number__in=numbers)
        # They are read here: with a subquery Postgres would look at all messages for the "or".
        pks = list(clients.order_by().values_list("pk", flat=True))
        return Q(client__in=pks) | Q(client__isnull=True, phone_number__in=numbers)


class ResultFilterSet(WalkedFilterSet):
    """Query parameters of the export of one mailing's messages."""

    status = choices(Message.Status, help_text=STATUS)
    error_code = choices(ErrorCode, help_text="Why the last attempt, or the message, failed.")

    class Meta:
        model = Message
        fields = ("status", "error_code")
