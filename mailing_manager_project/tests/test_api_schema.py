"""The OpenAPI document: valid, complete, about this API only, and fit to generate clients from."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no types
import pytest
from django.conf import settings
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from mailing_manager_project.error_codes import OF_REQUESTS, OF_STATES
from toolkit.rest.document import SOMETIMES
from webhooks.models import EventName

UNSAFE = ("post", "put", "patch", "delete")
BODIES = ("post", "put", "patch")
PARAMETERS_OF_ONE = ("attempts/", "timeline/", "deliveries/", "results.csv", "results.ndjson")
NO_BODY = (
    *(
        "launch/",
        "undo/",
        "approve/",
        "pause/",
        "resume/",
        "cancel/",
        "finish/",
        "confirm/",
        "probe/",
        "erase/",
    ),
    "/messages/{id}/resend/",
    *("rotate/", "/webhooks/{id}/test/", "redeliver/"),
)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Return the document that is served."""
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    document: dict[str, Any] = generator.get_schema(public=True)  # type: ignore[no-untyped-call]
    return document


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what can be done: {"GET /clients/": description}."""
    return {
        f"{method} {path.removeprefix('/api/v1')}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_document_is_valid_and_made_without_guesses(
    document: dict[str, Any], tmp_path: Path
) -> None:
    validate_schema(document)  # type: ignore[no-untyped-call]

    call_command("spectacular", "--fail-on-warn", "--validate", "--file", f"{tmp_path}/api.yaml")


def test_every_operation_is_in_the_document(operations: dict[str, dict[str, Any]]) -> None:
    rooms = ("clients", "mailings", "messages")
    assert set(operations) == {
        *(f"{method} /{room}/" for room in rooms for method in ("get", "post")),
        *(f"{method} /{room}/{{id}}/" for room in rooms for method in ("get", "put", "patch")),
        *(f"delete /{room}/{{id}}/" for room in rooms),
        *(f"get /{room}/stats/" for room in rooms),
        *(f"get /{room}/count/" for room in rooms),
        "post /clients/bulk/",
        *(
            "get /imports/",
            "post /imports/",
            "get /imports/{id}/",
            "get /imports/{id}/rejected.csv",
        ),
        *("get /clients/export.csv", "get /clients/export.ndjson"),
        *("post /mailings/preview/", "post /mailings/{id}/test/"),
        "get /mailings/{id}/stats/",
        "get /mailings/{id}/texts/",
        "get /mailings/{id}/failures/",
        *("get /mailings/{id}/statement/", "get /mailings/{id}/statement/{message_id}/"),
        "get /mailings/{id}/clients/{client_id}/",
        *(f"get /mailings/{{id}}/results.{suffix}" for suffix in ("csv", "ndjson")),
        *(f"post /mailings/{{id}}/{deed}/" for deed in ("launch", "undo", "approve")),
        *(f"post /mailings/{{id}}/{deed}/" for deed in ("pause", "resume")),
        *(f"post /mailings/{{id}}/{deed}/" for deed in ("cancel", "finish", "resend", "confirm")),
        *(f"post /messages/{{id}}/{deed}/" for deed in ("resend", "confirm")),
        "get /messages/{id}/attempts/",
        "get /messages/changes/",
        *("get /mailings/timeline/", "get /mailings/{id}/timeline/"),
        "get /history/",
        *("get /webhooks/", "post /webhooks/", "get /webhooks/{id}/deliveries/"),
        *(f"{method} /webhooks/{{id}}/" for method in ("get", "put", "patch", "delete")),
        *(f"post /webhooks/{{id}}/{deed}/" for deed in ("rotate", "test")),
        "post /webhooks/{id}/deliveries/{delivery}/redeliver/",
        "post /clients/{id}/erase/",
        "get /clients/{id}/export/",
        "get /sender/",
        "patch /sender/",
        "post /sender/probe/",
    }


def test_every_operation_says_what_it_does(operations: dict[str, dict[str, Any]]) -> None:
    for name, operation in operations.items():
        assert operation["summary"], name
        assert operation["description"], name


def test_every_operation_lists_its_errors(operations: dict[str, dict[str, Any]]) -> None:
    for name, operation in operations.items():
        method, path = name.split()
        has_body = method in BODIES and not path.endswith(NO_BODY)
        about_many = method == "get" and (
            path.endswith(PARAMETERS_OF_ONE) or not ("{id}" in path or path == "/sender/")
        )
        chooses = any(each["name"] == "fields" for each in operation["parameters"])
        errors = {
            *("401", "403", "405", "406", "429", "503"),
            *(("400",) if has_body or about_many or chooses or method == "post" else ()),
            *(("409",) if method in UNSAFE else ()),
            *(("404",) if "{id}" in path else ()),
            *(("413", "415") if has_body else ()),
            *(("422",) if method == "post" else ()),
            *(("412",) if method in UNSAFE and is_about_one(path) else ()),
            *(("410",) if path.endswith("/changes/") else ()),
        }
        assert {status for status in operation["responses"] if status >= "400"} == errors, name


def is_about_one(path: str) -> bool:
    return "{id}" in path or path.startswith("/sender/")


def test_what_is_shown_alone_has_an_etag_and_its_changes_take_one(
    operations: dict[str, dict[str, Any]],
) -> None:
    for name, operation in operations.items():
        method, path = name.split()
        headers = {
            parameter["name"]
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "header"
        }
        is_shown = method == "get" and (path.endswith("/{id}/") or path == "/sender/")
        assert ("If-None-Match" in headers) == is_shown == ("304" in operation["responses"]), name
        assert ("If-Match" in headers) == (method in UNSAFE and is_about_one(path)), name
        if is_shown or method in ("put", "patch") or name == "post /clients/":
            (success,) = (status for status in operation["responses"] if status < "300")
            assert "ETag" in operation["responses"][success]["headers"], name


def test_every_post_takes_an_idempotency_key(operations: dict[str, dict[str, Any]]) -> None:
    for name, operation in operations.items():
        headers = {
            parameter["name"]
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "header"
        }
        assert ("Idempotency-Key" in headers) == name.startswith("post "), name
        for status, response in operation["responses"].items():
            is_repeatable = name.startswith("post ") and status < "300"
            assert ("Idempotent-Replayed" in response.get("headers", {})) == is_repeatable, name


def test_every_answer_tells_what_is_left_and_a_429_when_to_come_back(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    shared = document["components"]["responses"]
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            described = shared[f"Error{status}"] if status >= "400" else response
            headers = described.get("headers", ())
            if status == "204":  # of which drf-spectacular describes none
                continue
            assert {"RateLimit-Policy", "RateLimit"} <= set(headers), f"{name} {status}"
            may_pass_by_itself = status in ("409", "429", "503")
            assert ("Retry-After" in headers) == may_pass_by_itself, f"{name} {status}"


def test_every_error_is_described_once_for_all_operations(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            if status >= "400":
                assert response == {"$ref": f"#/components/responses/Error{status}"}, name
                assert f"Error{status}" in document["components"]["responses"]


def test_every_answer_has_an_example_that_is_one(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    responses = {
        f"{name} {status}": response
        for name, operation in operations.items()
        for status, response in operation["responses"].items()
        if "$ref" not in response and status not in ("204", "304")
    }
    components = for_json_schema(document["components"])
    for name, response in {**responses, **document["components"]["responses"]}.items():
        problem = response["content"].get("application/problem+json")
        (content,) = (each for each in response["content"].values() if each is not problem)
        assert content["examples"], name
        schema = {**for_json_schema(content["schema"]), "components": components}
        for example in content["examples"].values():
            jsonschema.Draft202012Validator(schema).validate(example["value"])


def test_what_is_posted_to_webhooks_is_described_with_an_example_that_is_one(
    document: dict[str, Any],
) -> None:
    components = for_json_schema(document["components"])
    assert list(document["x-webhooks"]) == EventName.values
    for methods in document["x-webhooks"].values():
        body = methods["post"]["requestBody"]["content"]["application/json"]
        schema = {**for_json_schema(body["schema"]), "components": components}
        jsonschema.Draft202012Validator(schema).validate(body["example"])


def for_json_schema(described: Any) -> Any:
    """Return a description without what only OpenAPI 3.0 knows: null where it is allowed."""
    if isinstance(described, list):
        return [for_json_schema(item) for item in described]
    if not isinstance(described, dict):
        return described
    schema = {name: for_json_schema(value) for name, value in described.items()}
    if schema.pop("nullable", None) is True:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


def test_a_generated_client_sends_no_defaults(document: dict[str, Any]) -> None:
    """In a PATCH of the tag it would reset the time zone."""
    for name, schema in document["components"]["schemas"].items():
        for field, description in schema.get("properties", {}).items():
            assert "default" not in description, f"{name}.{field}"


def test_null_is_allowed_in_words_that_strict_readers_understand(document: dict[str, Any]) -> None:
    """Beside no `type`, OpenAPI 3.0 gives `nullable` no meaning."""
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        for field, description in schema.get("properties", {}).items():
            assert "type" in description or "nullable" not in description, f"{name}.{field}"
    assert {"$ref": "#/components/schemas/NullEnum"} in (
        schemas["Mailing"]["properties"]["text_change"]["oneOf"]
    )


def test_what_always_comes_in_an_answer_is_required(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        if not name.endswith("Request"):
            always = set(schema.get("properties", ())) - SOMETIMES.get(name, set())
            assert set(schema.get("required", ())) == always, name
    assert "filters" in document["components"]["schemas"]["Mailing"]["required"]


def codes_in_the_code() -> Iterator[str]:
    """Yield the codes that the rooms give to their refusals."""
    for room in ("clients", "mailings", "messages_app", "toolkit/rest", "webhooks"):
        for path in (settings.BASE_DIR / room).rglob("*.py"):
            if not {"tests", "admin", "imports", "migrations"} & set(path.parts):
                yield from codes_of(ast.parse(path.read_text()))


def codes_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.keyword(arg="code", value=ast.Constant(value=str(code))):
                yield code


def test_the_codes_of_refusals_are_listed(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    listed = [
        schemas[name]["properties"]["code"]["x-extensible-enum"]
        for name in ("ValidationError", "ConflictReason")
    ]

    assert listed == [list(OF_REQUESTS), list(OF_STATES)]
    found = set(codes_in_the_code())
    assert {"mailing_over", "unknown_field"} <= found
    assert found - {*OF_REQUESTS, *OF_STATES} == set()


def test_the_limits_of_a_page_are_told(operations: dict[str, dict[str, Any]]) -> None:
    for name, operation in operations.items():
        for parameter in operation.get("parameters", ()):
            if parameter["name"] == "page_size":
                limits = (parameter["schema"]["minimum"], parameter["schema"]["maximum"])
                assert limits == (1, 1000), name
            if parameter["in"] == "query":
                assert parameter.get("description"), f"{name} {parameter['name']}"


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        (
            "/clients/",
            {
                *("phone_number", "operator_code", "tag", "timezone", "external_id", "search"),
                *("created_after", "created_before", "updated_after", "updated_before"),
            },
        ),
        (
            "/messages/",
            {
                *("id", "mailing", "client", "phone_number", "status", "error_code", "search"),
                *("created_after", "created_before", "sent_after", "sent_before"),
            },
        ),
        (
            "/mailings/",
            {
                *("status", "search", "external_id", "start_time_after", "start_time_before"),
                *("stop_time_after", "stop_time_before"),
            },
        ),
    ],
)
def test_lists_and_counts_tell_their_parameters(
    operations: dict[str, dict[str, Any]], path: str, parameters: set[str]
) -> None:
    def names(path: str) -> set[str]:
        return {parameter["name"] for parameter in operations[f"get {path}"]["parameters"]}

    pages = {"cursor", "page_size"}
    chosen = {"fields", "expand"} if path == "/messages/" else {"fields"}
    assert names(path) == parameters | pages | chosen
    assert chosen <= names(f"{path}{{id}}/")
    assert names(f"{path}stats/") == parameters | (pages if path == "/mailings/" else set())


def test_everything_can_be_authorised_by_token_and_by_session(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    schemes = document["components"]["securitySchemes"]

    assert schemes["token"]["type"] == "apiKey"
    assert (schemes["token"]["in"], schemes["token"]["name"]) == ("header", "Authorization")
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")
    for operation in operations.values():
        assert operation["security"] == [{"token": []}, {"bearer": []}, {"cookieAuth": []}]


def test_requests_have_no_other_fields_than_can_be_written(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    for name, fields in {
        "Client": {"phone_number", "operator_code", "tag", "timezone", "external_id"},
        "Mailing": {
            *("start_time", "stop_time", "window_start", "window_end", "text", "filters"),
            "external_id",
        },
        "Message": {"mailing", "client"},
    }.items():
        for schema in (schemas[f"{name}Request"], schemas[f"Patched{name}Request"]):
            assert set(schema["properties"]) == fields
            assert schema["additionalProperties"] is False
    sender = schemas["PatchedSenderRequest"]
    assert set(sender["properties"]) == {"is_paused", "pause_reason", "rate"}
    assert sender["additionalProperties"] is False


def test_a_message_may_have_lost_its_client_but_is_never_sent_to_nobody(
    document: dict[str, Any],
) -> None:
    schemas = document["components"]["schemas"]

    assert schemas["Message"]["properties"]["client"]["nullable"]
    assert "nullable" not in schemas["MessageRequest"]["properties"]["client"]


def test_filters_are_described_key_by_key(document: dict[str, Any]) -> None:
    filters = document["components"]["schemas"]["MailingRequest"]["properties"]["filters"]

    assert set(filters["properties"]) == {"operator_code", "tag", "timezone"}
    assert filters["additionalProperties"] is False
