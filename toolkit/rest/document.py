"""The OpenAPI document as a whole: what is put right in it once drf-spectacular has made it.

Frontends generate their clients from it, and a generated client does what it says to the letter.
"""

from typing import Any

from toolkit.rest.problems import MEDIA_TYPE

# Properties of answers that are not always there.
SOMETIMES = {"ConflictReason": {"id"}, "Message": {"expanded"}}
# Errors that may pass by themselves.
WAITING = ("409", "429", "503")
NULL = {"$ref": "#/components/schemas/NullEnum"}
METHODS = ("get", "post", "put", "patch", "delete")

Json = dict[str, Any]

RETRY_AFTER: Json = {
    "schema": {"type": "integer", "minimum": 1},
    "description": "After how many seconds the same request may succeed; not there where it "
    "takes more than waiting.",
}
PROBLEM: Json = {
    "type": "object",
    "description": "An error as RFC 9457 has it, for who names its media type in Accept.",
    "required": ["detail", "errors", "kind", "status", "title", "type"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "example": "about:blank"},
        "title": {"type": "string", "description": "What the status means.", "example": "Conflict"},
        "status": {"type": "integer", "example": 409},
        "detail": {"type": "string", "description": "All that is wrong, in words."},
        "kind": {"type": "string", "description": "`type` of our own format."},
        "errors": {
            "type": "array",
            "description": "As in our own format.",
            "items": {"type": "object", "additionalProperties": True},
        },
    },
}


def suit_generated_clients(result: Json, **_: Any) -> Json:
    """Return the document without what misleads generated clients; a hook of drf-spectacular."""
    schemas = result["components"]["schemas"]
    for name, schema in schemas.items():
        properties = schema.get("properties", {})
        if name.endswith("Request"):
            _leave_defaults_out(properties)
        elif properties:
            _leave_defaults_out(properties)
            schema["required"] = sorted(set(properties) - SOMETIMES.get(name, set()))
    _allow_null(result)
    _share_errors(result)
    return result


def _leave_defaults_out(properties: Json) -> None:
    """Remove defaults of fields: a generated client sends them, also in a PATCH of other fields."""
    for schema in properties.values():
        schema.pop("default", None)


def _allow_null(document: Json) -> None:
    """Describe null beside a component as OpenAPI 3.0 has it.

    `nullable` counts only beside a `type`; with `allOf` or `oneOf` alone, which drf-spectacular
    writes, strict readers refuse null.
    """
    schemas = document["components"]["schemas"]
    for schema in [*schemas.values()]:
        for described in schema.get("properties", {}).values():
            if described.get("nullable") and "type" not in described:
                del described["nullable"]
                kinds = described.pop("allOf", None) or described.pop("oneOf")
                described["oneOf"] = kinds if NULL in kinds else [*kinds, NULL]
                schemas.setdefault("NullEnum", {"enum": [None]})


def _share_errors(document: Json) -> None:
    """Describe each error once, as a component that operations refer to."""
    shared: Json = {}
    for path in document["paths"].values():
        for method in METHODS:
            responses = path.get(method, {}).get("responses", {})
            for status, response in responses.items():
                if status >= "400":
                    known = shared.setdefault(f"Error{status}", response)
                    if known == response:
                        responses[status] = {"$ref": f"#/components/responses/Error{status}"}
    for name, response in shared.items():
        response["content"][MEDIA_TYPE] = {"schema": {"$ref": "#/components/schemas/Problem"}}
        if name.endswith(WAITING):
            response.setdefault("headers", {})["Retry-After"] = RETRY_AFTER
    document["components"]["schemas"]["Problem"] = PROBLEM
    document["components"]["responses"] = dict(sorted(shared.items()))
