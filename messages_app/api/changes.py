"""The change feed of messages: what other programs follow instead of asking again and again."""

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from messages_app.api.examples import CHANGES
from messages_app.api.serializers import STATUS, ErrorCodeField
from messages_app.ledger import changes
from messages_app.ledger.changes import Change
from messages_app.models import Message
from messages_app.sender_ids import sender_id
from messages_app.sql import has_id, table_of
from toolkit.rest.fields import moment_text
from toolkit.rest.filters import check_parameters
from toolkit.rest.pagination import MAX_PAGE_SIZE, CursorPages
from toolkit.rest.schema import GoneResponse


class CursorTooOld(APIException):
    """410: what follows the cursor is not kept any more."""

    status_code = status.HTTP_410_GONE
    default_code = "cursor_too_old"


class ChangeSerializer(serializers.Serializer[Any]):
    """A message that changed its status."""

    message = serializers.IntegerField()
    sender_id = serializers.CharField(
        allow_null=True,
        help_text="The id by which the sender knows it; null once the message is gone.",
    )
    mailing = serializers.IntegerField()
    client = serializers.IntegerField(
        allow_null=True, help_text="Null once the client, or the message, is gone."
    )
    before = serializers.ChoiceField(
        choices=Message.Status.choices,
        allow_null=True,
        help_text="Its status before; null where the message is new.",
    )
    status = serializers.ChoiceField(
        choices=Message.Status.choices,
        allow_null=True,
        help_text=f"{STATUS} null: it was withdrawn.",
    )
    error_code = ErrorCodeField(help_text="Why it failed.")
    is_final = serializers.BooleanField(help_text="Whether it will not be tried any more.")
    at = serializers.DateTimeField(help_text="When it was written down, by the database's clock.")


@extend_schema_serializer(examples=[CHANGES])
class ChangePageSerializer(serializers.Serializer[Any]):
    """Some changes, and where to go on."""

    results = ChangeSerializer(many=True)
    next = serializers.CharField(
        help_text="The cursor behind the last of them: pass it as `after` next time, also when "
        "there is nothing more now."
    )
    has_more = serializers.BooleanField(help_text="Whether there is more already.")


class ChangesMixin:
    """The action `changes` of the view of messages."""

    @extend_schema(
        summary="Follow the changes of messages",
        responses={200: ChangePageSerializer, 410: GoneResponse},
        filters=False,
        parameters=[
            OpenApiParameter(
                "after",
                str,
                description="`next` of the page before; without it, the oldest change that is "
                "kept comes first. `latest` is where nothing is old: only what comes from now on.",
            ),
            OpenApiParameter(
                "page_size",
                {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": 100},
                description="Changes a page.",
            ),
        ],
    )
    @action(detail=False, pagination_class=None, filter_backends=[])
    def changes(self, request: Request) -> Response:
        """Tell every change of a message's status once, in the order of commits, without gaps.

        Keep `next` with what you make of the changes, and ask again in a moment. 410 once what
        follows the cursor is no longer kept (LEDGER_DAYS), or after a backup was restored that is
        older than the cursor: read the list of messages anew, then go on from the cursor named.
        """
        check_parameters(request.query_params, known={"after", "page_size"})
        limit = CursorPages().get_page_size(request)
        page = _read(request.query_params.get("after"), limit)
        return Response(
            {"results": change_rows(page.changes), "next": page.next, "has_more": page.has_more}
        )


def _read(after: str | None, limit: int) -> changes.Page:
    if after == "latest":
        return changes.Page([], changes.latest_cursor(), has_more=False)
    try:
        return changes.read(after=after or changes.oldest_cursor(), limit=limit)
    except changes.CursorError:
        raise ValidationError(
            {"after": "This is no cursor. Pass `next` of a page before, as it was."}
        ) from None
    except changes.CursorTooOldError:
        raise CursorTooOld(
            "What follows this cursor is not kept any more. Read the list of messages anew, and "
            f"go on from {changes.oldest_cursor()}."
        ) from None


def change_rows(found: Sequence[Change]) -> list[dict[str, Any]]:
    """Return changes as JSON, with what their messages say of themselves now.

    Without making a `Message` of each, which takes several times as long.
    """
    ids = {change.message_id for change in found}
    messages = Message.objects.filter(has_id(ids, f"{table_of(Message)}.id"))
    columns = ("pk", "client_id", "phone_number", "mailing__sender_key")
    told = {
        pk: (client_id, str(sender_id(key, message_id=pk, phone_number=number)))
        for pk, client_id, number, key in messages.order_by().values_list(*columns)
    }
    rows = []
    for change in found:
        client_id, name = told.get(change.message_id, (None, None))
        rows.append(
            {
                "message": change.message_id,
                "sender_id": name,
                "mailing": change.mailing_id,
                "client": client_id,
                "before": change.before,
                "status": change.status,
                "error_code": change.error_code,
                "is_final": change.is_final,
                "at": moment_text(change.at),
            }
        )
    return rows
