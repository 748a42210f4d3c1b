"""POST clients/bulk/: adding and changing thousands of clients in one call."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import (
    OpenApiExample,
    extend_schema,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import exceptions, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from clients.imports import bulk
from clients.imports.bulk import MAX_CLIENTS, Batch

STRICT, PERMISSIVE = "strict", "permissive"

_TEXT = {"type": "string"}
CLIENTS_SCHEMA: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "maxItems": MAX_CLIENTS,
    "items": {
        "type": "object",
        "required": ["phone_number"],
        "properties": {
            "phone_number": {**_TEXT, "description": "Written any usual way."},
            "operator_code": {**_TEXT, "description": 'Digits; "" is that of the number.'},
            "tag": {**_TEXT, "description": "Any word to select clients by."},
            "timezone": {**_TEXT, "description": "IANA name, for example Europe/Moscow."},
            "external_id": {
                **_TEXT,
                "nullable": True,
                "description": "The id that your program has for it, which no other client has.",
            },
        },
        "additionalProperties": False,
    },
}


@extend_schema_field(CLIENTS_SCHEMA)
class ClientsField(serializers.Field[Any, Any, Any, Any]):
    """A list of clients; each of them is checked by `clients.imports.bulk`."""

    default_error_messages = {  # noqa: RUF012  # as in all of DRF's fields
        "not_a_list": "Write a list of clients.",
        "empty": "The list is empty; write at least one client.",
        "max_length": "These are {number} clients. Write up to {limit} in one call, and the rest "
        "in another one; or upload them all as a file (POST imports/).",
    }

    def to_internal_value(self, data: Any) -> list[object]:
        """Return the list as it is.

        Raises:
            ValidationError: it is no list, or one of no clients or of too many.
        """
        if not isinstance(data, list):
            self.fail("not_a_list")
        if not data:
            self.fail("empty")
        if len(data) > MAX_CLIENTS:
            self.fail("max_length", number=f"{len(data):,}", limit=f"{MAX_CLIENTS:,}")
        return data


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Two clients",
            value={
                "mode": PERMISSIVE,
                "clients": [
                    {"phone_number": "+7 999 123-45-67", "tag": "vip"},
                    {"phone_number": "79261234567", "timezone": "Europe/Moscow"},
                ],
            },
            request_only=True,
        )
    ]
)
class BulkSerializer(serializers.Serializer[Any]):
    """Clients to be added or changed."""

    mode = serializers.ChoiceField(
        choices=[
            (PERMISSIVE, "what is right is saved, and the rest is rejected"),
            (STRICT, "all are saved, or nothing (400)"),
        ],
        help_text="What happens when some of the clients cannot be saved.",
    )
    clients = ClientsField(
        help_text="Each with its number; of a known number only the fields that are there are "
        "changed, a new one has the usual defaults for the others. A number may be there once."
    )

    def to_internal_value(self, data: Any) -> Any:
        """Return the values; refuse unknown fields."""
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, Mapping) else []
        if unknown:
            raise serializers.ValidationError(
                {unknown[0][:64]: "There is no such field; there are mode and clients."},
                code="unknown_field",
            )
        return super().to_internal_value(data)


class RejectionSerializer(serializers.Serializer[Any]):
    """Why a client was not saved."""

    index = serializers.IntegerField(help_text="Its place in the list; the first one's is 0.")
    attr = serializers.CharField(
        allow_null=True, help_text="The field that is wrong; null if it is no object at all."
    )
    code = serializers.CharField(help_text="Stable name of the reason, as in answers of 400.")
    detail = serializers.CharField(help_text="What is wrong and what can be done.")


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "One was new, one is no number",
            value={
                "created": 1,
                "updated": 0,
                "unchanged": 0,
                "rejected": 1,
                "errors": [
                    {
                        "index": 1,
                        "attr": "phone_number",
                        "code": "invalid_phone_number",
                        "detail": "'12345' is not an international phone number. Write the "
                        "country code and the number, for example 79991234567.",
                    }
                ],
            },
            response_only=True,
        )
    ]
)
class BulkResultSerializer(serializers.Serializer[Any]):
    """What became of the clients; each is counted once."""

    created = serializers.IntegerField(help_text="Their number was not known.")
    updated = serializers.IntegerField(help_text="Their number was known, and something else new.")
    unchanged = serializers.IntegerField(help_text="They were there like that already.")
    rejected = serializers.IntegerField(help_text="They were not saved; `errors` says why.")
    errors = RejectionSerializer(many=True, help_text="Several for a client, if need be.")  # type: ignore[assignment]  # the metaclass takes it away


class BulkMixin:
    """The action `bulk` of the view of clients."""

    @extend_schema(
        summary="Add or change many clients",
        request=BulkSerializer,
        responses=BulkResultSerializer,
        filters=False,
    )
    @action(detail=False, methods=["post"], pagination_class=None, filter_backends=[])
    def bulk(self, request: Request) -> Response:
        """Add clients, and change those whose numbers are known, up to 10,000 in one call.

        All that is saved is saved at once. `strict`: if one client is wrong, nothing is saved, and
        the answer is 400 with everything that is wrong, `attr` being such as
        `clients.17.phone_number`. `permissive`: the others are saved, and the answer is 200 with
        what was rejected. For more than 10,000, upload a file (POST imports/).
        """
        body = BulkSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        batch = bulk.check(body.validated_data["clients"])
        if batch.problems and body.validated_data["mode"] == STRICT:
            raise exceptions.ValidationError({"clients": _by_index(batch)})
        saved = bulk.save_batch(batch)
        errors = [
            {"index": index, "attr": each.attr or None, "code": each.code, "detail": each.detail}
            for index, each in batch.problems
        ]
        return Response({**saved._asdict(), "rejected": batch.rejected, "errors": errors})


def _by_index(batch: Batch) -> dict[str, Any]:
    """Return problems as the one error format has them: an object of the wrong clients."""
    found: dict[str, Any] = {}
    for index, problem in batch.problems:
        error = exceptions.ErrorDetail(problem.detail, code=problem.code)
        if problem.attr:
            found.setdefault(str(index), {})[problem.attr] = [error]
        else:
            found[str(index)] = [error]
    return found
