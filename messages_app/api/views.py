"""The endpoints of messages."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.db import transaction
from django.db.models import QuerySet, prefetch_related_objects
from django.http import QueryDict
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from messages_app import services
from messages_app.api.changes import ChangesMixin
from messages_app.api.filters import MessageFilterSet
from messages_app.api.serializers import (
    AttemptSerializer,
    MessageSerializer,
    MessageStatsSerializer,
)
from messages_app.engine.doorbells import ring
from messages_app.ledger.balances import Balances, balances, sum_of, total_balances
from messages_app.models import Message
from messages_app.querysets import MessageQuerySet
from messages_app.stats import ledger_stats, message_stats
from toolkit import clock
from toolkit.rest.choosing import EXPAND
from toolkit.rest.counts import CAP, CountMixin
from toolkit.rest.permissions import needs
from toolkit.rest.views import SafeWrites

if TYPE_CHECKING:
    from mailings.models import Mailing

COUNTED = {"mailing", "status", "error_code"}  # the ledger counts by these
FEW = {"client", "phone_number", "id"}  # select so few messages that they can be counted
TOO_WIDE = "All messages would have to be read for this. Add client, phone_number or id; or take "
TOO_WIDE += "messages/count/, which ends early."
PAGE_PARAMETERS = {"cursor", "page_size"}


@extend_schema_view(
    list=extend_schema(summary="List messages"),
    create=extend_schema(
        summary="Add a client to a mailing by hand",
        description="It is sent whatever the mailing's filters say.",
    ),
    retrieve=extend_schema(summary="Show a message"),
    update=extend_schema(
        summary="Change the address of a message",
        description="Only before its first attempt; 409 afterwards.",
    ),
    partial_update=extend_schema(summary="Change the address of a message in part"),
    destroy=extend_schema(
        summary="Withdraw a message",
        description="It is never sent, and its client is not planned for this mailing again. "
        "409 if it was sent or is in flight.",
    ),
)
@extend_schema(tags=["messages"])
class MessageViewSet(ChangesMixin, CountMixin, SafeWrites[Message], ModelViewSet[Message]):
    """What became of every message."""

    queryset = Message.objects.with_sender_id()
    needs = needs(
        Message,
        **dict.fromkeys(("attempts", "changes", "stats", "count"), "view"),
        resend="view resend",
        confirm="view confirm",
    )
    serializer_class = MessageSerializer
    filterset_class = MessageFilterSet
    expands: ClassVar = {"client": "clients.view_client"}
    ordering = "-id"
    lookup_value_converter = "int"

    def get_queryset(self) -> MessageQuerySet:
        """Return the messages of mailings that are not deleted.

        The list has those of deleted ones until they are cleared away: whoever reads newest first
        would have to pass over millions of them.
        """
        messages = cast(MessageQuerySet, super().get_queryset())
        return messages if self.action in ("list", "count") else messages.of_present_mailings()

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Select messages; of mailings that have none by the ledger, without looking for them."""
        found = super().filter_queryset(queryset)
        if self.action != "list" or not {"mailing", "status"} <= set(self.request.query_params):
            return found
        return found.none() if self._number_by_ledger() == 0 else found

    def paginate_queryset(self, queryset: Any) -> Any:
        """Return a page, with its clients if they are asked for: by one more query."""
        page = super().paginate_queryset(queryset)
        if page and self.get_serializer_context()[EXPAND]:
            prefetch_related_objects(page, "client")
        return page

    def count_rows(self, rows: QuerySet[Message]) -> tuple[int, bool]:
        """Return the number of the selected messages, from the ledger where it can tell."""
        number = self._number_by_ledger()
        return super().count_rows(rows) if number is None else (min(number, CAP), number > CAP)

    def _number_by_ledger(self) -> int | None:
        """Return how many messages the parameters select; None if the ledger cannot tell."""
        parameters = self.request.query_params
        if not set(parameters) <= {"mailing", "status", *PAGE_PARAMETERS}:
            return None
        found = _balances(parameters)
        wanted = parameters.getlist("status")
        if found is None:
            return None
        return sum(n for account, n in found.items() if not wanted or account.status in wanted)

    def get_object(self) -> Message:
        """Return the message; one that is to be changed is locked after its mailing.

        The services lock in this order, too, and of two mailings the lower id first.
        """
        if self.is_writing:
            message = get_object_or_404(self.get_queryset(), pk=self.kwargs["pk"])
            for mailing in sorted({message.mailing, *self._named_mailing()}, key=attrgetter("pk")):
                mailing.lock()
        return super().get_object()

    def _named_mailing(self) -> Iterator["Mailing"]:
        """Yield the mailing that a message is to be moved to."""
        if self.request.method not in ("PUT", "PATCH"):
            return
        serializer: Any = self.get_serializer()
        data: Any = self.request.data
        with suppress(ValidationError, AttributeError):  # refused later, with a reason
            yield serializer.fields["mailing"].run_validation(data.get("mailing"))

    def perform_create(self, serializer: BaseSerializer[Message]) -> None:
        """Add a message, and queue the task that sends it."""
        _ring_on_commit(serializer.save())

    def perform_update(self, serializer: BaseSerializer[Message]) -> None:
        """Change the client or mailing of a message, and queue the task that sends it."""
        _ring_on_commit(serializer.save())

    def perform_destroy(self, instance: Message) -> None:
        """Withdraw a message."""
        services.withdraw_message(instance, now=clock.now())

    @extend_schema(summary="Send a failed message again", request=None)
    @action(detail=True, methods=["post"])
    def resend(self, request: Request, pk: int) -> Response:
        """Make a failed message due again, now, under the same id. 409 unless its mailing runs.

        Of an `unconfirmed` one this is to say that it did not arrive: a sender that does not drop
        repeats delivers it a second time if it did.
        """
        message = services.resend_message(self.get_object(), now=clock.now())
        _ring_on_commit(message)
        return Response(self.get_serializer(message).data)

    @extend_schema(summary="Say that an unconfirmed message arrived", request=None)
    @action(detail=True, methods=["post"])
    def confirm(self, request: Request, pk: int) -> Response:
        """Take your word that it arrived: it becomes a success.

        For a message that failed as `unconfirmed`, also when its mailing is over; 409 for any
        other. If you know that it did not arrive, send it again instead.
        """
        message = services.confirm_message(self.get_object(), now=clock.now())
        return Response(self.get_serializer(message).data)

    @extend_schema(summary="List a message's attempts", responses=AttemptSerializer(many=True))
    @action(detail=True, ordering="number")
    def attempts(self, request: Request, pk: int) -> Response:
        """List the attempts that failed, in order, and the success that came after them.

        A message that the sender accepted at the first attempt has none here: its `sent_at` says
        it all. Attempts are numbered; one that was given back untried leaves no trace.
        """
        attempts: Any = self.get_object().attempt_log.all()  # of another model than the view's
        page = self.paginate_queryset(attempts) or []
        return self.get_paginated_response(AttemptSerializer(page, many=True).data)

    @extend_schema(summary="Count messages", responses=MessageStatsSerializer)
    @action(detail=False, pagination_class=None)
    def stats(self, request: Request) -> Response:
        """Count the selected messages by status, and the failed ones by reason.

        By anything else than mailing, status and reason only the messages of clients are counted:
        with `client`, `phone_number` or `id`.
        """
        parameters = request.query_params
        messages = self.filter_queryset(self.get_queryset())
        if set(parameters) & FEW:
            return Response(message_stats(messages))
        if wide := set(parameters) - COUNTED:
            raise ValidationError(dict.fromkeys(wide, TOO_WIDE), code="filter_too_wide")
        found = _balances(parameters)
        if found is None:
            return Response(message_stats(messages))
        return Response(ledger_stats(_selected(found, parameters)))


def _balances(parameters: QueryDict) -> Balances | None:
    """Return what the ledger says of all messages or of some mailings'; None if it cannot tell."""
    if "mailing" not in parameters:
        # What an earlier version has made or changed is missing; see mailings.bookkeeping.
        return total_balances()
    mailing_ids = {int(text) for text in parameters.getlist("mailing")}
    if not all(map(_is_in_ledger, mailing_ids)):
        return None
    found = balances(mailing_ids).values()
    return sum_of(item for of_mailing in found for item in of_mailing.items())


def _is_in_ledger(mailing_id: int) -> bool:
    """Tell whether the ledger has all messages of a mailing, from the first one by the index."""
    messages = Message.objects.filter(mailing=mailing_id).order_by("mailing_id", "client_id")
    return None not in messages.values_list("mailing__ledger_at", flat=True)[:1]


def _selected(found: Balances, parameters: QueryDict) -> Balances:
    """Return those of the balances that the parameters `status` and `error_code` select."""
    states, codes = parameters.getlist("status"), parameters.getlist("error_code")
    return {
        account: number
        for account, number in found.items()
        if (not states or account.status in states) and (not codes or account.error_code in codes)
    }


def _ring_on_commit(message: Message) -> None:
    transaction.on_commit(partial(ring, message.mailing_id))
