"""The OpenAPI schema, where drf-spectacular cannot derive it from the code."""

from typing import Any

from django.db.models import TextChoices
from django.utils import translation
from drf_spectacular.authentication import SessionScheme
from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
)
from drf_spectacular.openapi import AutoSchema as BaseSchema
from drf_spectacular.utils import (
    Direction,
    OpenApiExample,
    OpenApiParameter,
    PolymorphicProxySerializer,
)
from drf_standardized_errors.openapi import AutoSchema
from drf_standardized_errors.openapi_serializers import (
    ClientErrorEnum,
    ParseErrorResponseSerializer,
    ServerErrorEnum,
    ValidationErrorResponseSerializer,
)
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS

from toolkit.rest.choosing import EXPAND, EXPANDED, FIELDS
from toolkit.rest.idempotency.header import MAX_LENGTH
from toolkit.rest.permissions import Needs

# One description for all endpoints: to list each field's reasons would make the schema unreadable.
BadRequestResponse = PolymorphicProxySerializer(
    component_name="ErrorResponse400",
    serializers={
        "validation_error": ValidationErrorResponseSerializer,
        "client_error": ParseErrorResponseSerializer,
    },
    resource_type_field_name="type",
)


class Reason(serializers.Serializer[Any]):
    """The reason for a refusal that is about no field."""

    code = serializers.CharField(help_text="Stable name of the reason.")
    detail = serializers.CharField(help_text="What forbids it and what can be done.")
    attr = serializers.CharField(allow_null=True, help_text="Always null.")


class ConflictReason(Reason):
    """What it is that forbids it."""

    attr = serializers.CharField(
        allow_null=True, help_text="The field whose value is taken; otherwise null."
    )
    id = serializers.IntegerField(
        required=False, help_text="Who has that value; there only where a value is taken."
    )


class ConflictResponse(serializers.Serializer[Any]):
    """The state of things forbids it."""

    type = serializers.ChoiceField(choices=ClientErrorEnum.choices)
    errors = ConflictReason(many=True)  # type: ignore[assignment]  # the metaclass takes it away


class TooLargeResponse(serializers.Serializer[Any]):
    """The body is too large."""

    type = serializers.ChoiceField(choices=ClientErrorEnum.choices)
    errors = Reason(many=True)  # type: ignore[assignment]  # the metaclass takes it away


class GoneResponse(TooLargeResponse):
    """What was asked for is not kept any more."""


class ChangedResponse(ConflictResponse):
    """It is not what If-Match names any more."""


class KeyReusedResponse(ConflictResponse):
    """The Idempotency-Key belongs to another request."""


class UnavailableResponse(serializers.Serializer[Any]):
    """Nothing is wrong with the request; the same one may succeed in a moment."""

    type = serializers.ChoiceField(choices=ServerErrorEnum.choices)
    errors = Reason(many=True)  # type: ignore[assignment]  # the metaclass takes it away


def _example(name: str, status: int, type_: str, error: dict[str, str | None]) -> OpenApiExample:
    value = {"type": type_, "errors": [{"attr": None, **error}]}
    return OpenApiExample(name, value=value, response_only=True, status_codes=[str(status)])


EXAMPLES = [
    _example(
        "ValidationError",
        400,
        "validation_error",
        {"code": "required", "detail": "This field is required.", "attr": "text"},
    ),
    _example(
        "Conflict",
        409,
        "client_error",
        {
            "code": "mailing_finished",
            "detail": "The mailing is finished and does not change any more.",
        },
    ),
    _example(
        "Gone",
        410,
        "client_error",
        {
            "code": "cursor_too_old",
            "detail": "What follows this cursor is not kept any more. Read the list of messages "
            "anew, and go on from 17.4.0.52.",
        },
    ),
    _example(
        "Changed",
        412,
        "client_error",
        {
            "code": "precondition_failed",
            "detail": "This was changed since you read it (If-Match). Read it again, then change "
            "what is there now. Nothing was done.",
        },
    ),
    _example(
        "TooLarge", 413, "client_error", {"code": "too_large", "detail": "The body is too large."}
    ),
    _example(
        "KeyReused",
        422,
        "client_error",
        {
            "code": "idempotency_key_reused",
            "detail": "This Idempotency-Key was used for another body. Repeat a request exactly as "
            "it was, and take a new key for a new one. Nothing was done.",
        },
    ),
    _example(
        "TooMany",
        429,
        "client_error",
        {
            "code": "throttled",
            "detail": "These were too many requests. Wait 17 seconds (Retry-After), then go on.",
        },
    ),
    _example(
        "Unavailable",
        503,
        "server_error",
        {
            "code": "database_unavailable",
            "detail": "The database cannot be reached. Try again in a moment.",
        },
    ),
]


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH, "pattern": "^[!#-~][!-~]*$"},
    OpenApiParameter.HEADER,
    description="Any text of your own for this request, such as a UUID; quotes around it do not "
    "count. Repeated within 24 hours with the same key and body, the request is not done again: "
    "the first answer comes once more. A new body needs a new key (422); 409 "
    "`idempotency_in_progress` while the first request is still being worked on.",
)
REPLAYED = OpenApiParameter(
    "Idempotent-Replayed",
    {"type": "string", "enum": ["true"]},
    OpenApiParameter.HEADER,
    response=[200, 201, 202, 204],
    description="This is the first answer to this Idempotency-Key once more; nothing was done now.",
)

IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The `ETag` of what you have seen, or several: nothing is done (412) unless it is "
    "still so. `*` is whatever it is.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match",
    str,
    OpenApiParameter.HEADER,
    description="The `ETag` of what you have: 304 without a body while it is still so.",
)
ETAG = OpenApiParameter(
    "ETag",
    str,
    OpenApiParameter.HEADER,
    response=[200, 201, 304],
    description="Names what is shown, and is another one after every change of it. For If-Match "
    "and If-None-Match.",
)
LOCATION = OpenApiParameter(
    "Location",
    {"type": "string", "format": "uri-reference"},
    OpenApiParameter.HEADER,
    response=[201],
    description="The path of what was made.",
)

CHOSEN_FIELDS = OpenApiParameter(
    FIELDS,
    str,
    description="Only these fields of what is listed or shown, such as `id,status`; the others, "
    "which are described as always there, are then missing. The `ETag` is that of what is shown.",
)

# What is left of what whoever asks may have (draft-ietf-httpapi-ratelimit-headers).
FAIR_USE = [
    OpenApiParameter(
        "RateLimit-Policy",
        str,
        OpenApiParameter.HEADER,
        response=True,
        description='How many requests (`q`) in how many seconds (`w`): `"token";q=600;w=60`. '
        "Each token has its own, each user of a session, and without a login each address.",
    ),
    OpenApiParameter(
        "RateLimit",
        str,
        OpenApiParameter.HEADER,
        response=True,
        description="How many of them are left (`r`), and in how many seconds there are all of "
        'them again (`t`): `"token";r=598;t=42`.',
    ),
]
RETRY_AFTER = OpenApiParameter(
    "Retry-After",
    int,
    OpenApiParameter.HEADER,
    response=[429],
    description="Seconds after which there is something left again.",
)


def meanings_of(choices: type[TextChoices]) -> str:
    """Return what choices mean, as a list; in English, whoever's request is the first of all."""
    with translation.override("en"):
        return "\n".join(f"* `{each.value}` - {each.label}" for each in choices)


class Schema(AutoSchema):
    """Describes every error and header, and the query parameters of counts as those of lists."""

    def get_override_parameters(self) -> list[Any]:
        """Return the parameters that the view names, and the headers that all such have."""
        named: list[Any] = super().get_override_parameters()
        return [*named, *self._choosing(), *self._headers(), *FAIR_USE, RETRY_AFTER]

    def _choosing(self) -> list[OpenApiParameter]:
        """Return the parameters that choose what of its rows is answered."""
        names = getattr(self.view, "choosing", ())
        expand = OpenApiParameter(
            EXPAND,
            str,
            enum=[*getattr(self.view, "expands", ())],
            description=f"Shows this row, too, in `{EXPANDED}` of what refers to it.",
        )
        known = {FIELDS: CHOSEN_FIELDS, EXPAND: expand}
        return [known[name] for name in sorted(names)]

    def _headers(self) -> list[OpenApiParameter]:
        repeating = [IDEMPOTENCY_KEY, REPLAYED, LOCATION] if self.method == "POST" else []
        conditional = [IF_NONE_MATCH] if self._is_shown_alone() else []
        changing = [IF_MATCH] if self._is_change_of_one() else []
        return [*repeating, *conditional, *changing, *([ETAG] if self._is_tagged() else [])]

    def _is_shown_alone(self) -> bool:
        """Tell whether it shows one object and nothing else."""
        is_one = getattr(self.view, "action", "") == "retrieve" or self._is_single()
        return self.method == "GET" and is_one

    def _is_change_of_one(self) -> bool:
        is_one = "{" in self.path or self._is_single()
        return self.method not in SAFE_METHODS and is_one

    def _is_single(self) -> bool:
        return bool(getattr(self.view, "is_single", False))

    def _is_tagged(self) -> bool:
        """Tell whether the answer shows one object, whatever was done with it."""
        is_write = self.method in ("POST", "PUT", "PATCH")
        return self._is_shown_alone() or is_write

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        responses: dict[str, Any] = super()._get_response_bodies(direction)
        if direction == "response" and self._is_shown_alone():
            headers = self._get_response_headers_for_code("304", direction)
            unchanged = {"description": "It is what If-None-Match names.", "headers": headers}
            responses["304"] = unchanged
        return responses

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Return the operation; its description ends with the permissions that it needs."""
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        needs: Needs = getattr(self.view, "needs", {})
        deed = getattr(self.view, "action", None) or self.method.lower()
        if operation and deed in needs:
            names = " and ".join(f"`{permission}`" for permission in needs[deed])
            operation["description"] += f"\n\nNeeds {names}."
        return operation

    def get_filter_backends(self) -> list[Any]:
        """Return the filters of endpoints that list or count many rows, and of no others."""
        return getattr(self.view, "filter_backends", []) if self._is_about_many() else []

    def _get_pagination_parameters(self) -> list[dict[str, Any]]:
        paginator: Any = getattr(self.view, "paginator", None)
        if not paginator or not (self._is_about_many() or self._is_list_of_one()):
            return []
        parameters: list[dict[str, Any]] = paginator.get_schema_operation_parameters(self.view)
        return parameters

    def _is_list_of_one(self) -> bool:
        """Tell whether it lists in pages what belongs to one row, such as a message's attempts."""
        has_pages = bool(getattr(self.view, "paginator", None))
        return self.method == "GET" and has_pages and bool(self._is_list_view())

    def _is_about_many(self) -> bool:
        return self.method == "GET" and getattr(self.view, "detail", None) is False

    def _should_add_error_response(self, responses: dict[str, Any], status_code: str) -> bool:
        match status_code:
            case "400":
                has_parameters = any(
                    parameter not in (ETAG, IF_MATCH, IF_NONE_MATCH, *FAIR_USE, RETRY_AFTER)
                    for parameter in self.get_override_parameters()
                )
                is_list = self._is_about_many() or self._is_list_of_one()
                return self._has_body() or is_list or has_parameters
            case "403":  # A permission is missing, or a session its CSRF token.
                return True
            case "409":
                return self.method not in SAFE_METHODS
            case "404":
                return "{" in self.path
            case "412":
                return self._is_change_of_one()
            case "422":
                return self.method == "POST"
            case "413" | "415":
                return self._has_body()
        return bool(super()._should_add_error_response(responses, status_code))

    def _has_body(self) -> bool:
        return self.method in ("POST", "PUT", "PATCH") and bool(self.get_request_serializer())

    def _get_error_response_examples(self) -> list[OpenApiExample]:
        return [*super()._get_error_response_examples(), *EXAMPLES]


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # untyped
    """The header of a token, which may be written in two ways."""

    target_class = "toolkit.rest.authentication.StrictTokenAuthentication"
    name = ["token", "bearer"]  # noqa: RUF012  # as the library declares it

    def get_security_requirement(self, auto_schema: BaseSchema) -> list[dict[str, list[str]]]:
        """Require one of both."""
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: BaseSchema) -> list[dict[str, str]]:
        """Describe what to enter under Authorize."""
        making = "`python manage.py create_api_token USERNAME` makes one."
        return [
            {
                "type": "apiKey",
                "in": "header",
                "name": "Authorization",
                "description": "Write the word Token, a space and the token: `Token 0123abcd…`. "
                f"{making}",
            },
            {
                "type": "http",
                "scheme": "bearer",
                "description": f"The same tokens, in the header as `Bearer 0123abcd…`. {making}",
            },
        ]


class LimitedSessionScheme(SessionScheme):  # type: ignore[no-untyped-call]  # untyped
    """The console's session, as drf-spectacular describes it."""

    target_class = "toolkit.rest.authentication.LimitedSessionAuthentication"


class StrictSerializers(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]  # untyped
    """Describes that requests may have no unknown fields."""

    target_class = "toolkit.rest.serializers.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: BaseSchema, direction: Direction) -> dict[str, Any]:
        """Describe the serializer as usual, without additional properties in requests."""
        schema: dict[str, Any] = auto_schema._map_serializer(  # type: ignore[no-untyped-call]
            self.target, direction, bypass_extensions=True
        )
        return {**schema, "additionalProperties": False} if direction == "request" else schema


class Ids(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # untyped
    """Describes IdField."""

    target_class = "toolkit.rest.fields.IdField"

    def map_serializer_field(self, auto_schema: BaseSchema, direction: Direction) -> dict[str, Any]:
        """Describe an id, in answers also null if the field is clearable."""
        is_nullable = direction == "response" and self.target.is_clearable
        return {"type": "integer", "minimum": 1, **({"nullable": True} if is_nullable else {})}
