"""The gate that names what breaks programs: one change of each kind, both ways."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import yaml

from scripts.breaking_changes import ACCEPTED, NOW, RELEASED, breaks, judge, main

Json = dict[str, Any]
RELEASE: Json = yaml.safe_load("""
paths:
  /things/:
    get:
      operationId: things_list
      parameters:
        - {in: query, name: colour, schema: {type: string, enum: [red, green]}}
      responses:
        "200":
          headers: {ETag: {schema: {type: string}}}
          content:
            application/json:
              schema: {type: array, items: {$ref: "#/components/schemas/Thing"}}
        "404": {$ref: "#/components/responses/Error404"}
    post:
      operationId: things_create
      requestBody:
        content:
          application/json: {schema: {$ref: "#/components/schemas/ThingRequest"}}
      responses:
        "201":
          content:
            application/json: {schema: {$ref: "#/components/schemas/Thing"}}
components:
  responses:
    Error404:
      content:
        application/json: {schema: {$ref: "#/components/schemas/Missing"}}
  schemas:
    Missing:
      properties: {code: {type: string}}
    Colour: {type: string, enum: [red, green]}
    Thing:
      type: object
      required: [id, colour, owner]
      properties:
        id: {type: integer}
        weight: {type: number}
        colour: {allOf: [{$ref: "#/components/schemas/Colour"}]}
        owner: {oneOf: [{$ref: "#/components/schemas/Owner"}]}
        parts: {type: array, items: {$ref: "#/components/schemas/Thing"}}
    Owner:
      type: object
      properties: {name: {type: string}}
    ThingRequest:
      type: object
      required: [colour]
      additionalProperties: false
      properties:
        colour: {type: string, nullable: true, maxLength: 20}
        weight: {type: number}
        tags: {oneOf: [{type: string}, {type: array, items: {type: string}}]}
""")


def changed(change: Callable[[Json, Json], object]) -> Json:
    """Return the contract after a change of its addresses or components."""
    document = deepcopy(RELEASE)
    change(document["paths"]["/things/"], document["components"]["schemas"])
    return document


def body_of(operations: Json) -> Json:
    body: Json = operations["post"]["requestBody"]
    return body


def sent(schemas: Json) -> Json:
    fields: Json = schemas["ThingRequest"]["properties"]
    return fields


def answered(schemas: Json) -> Json:
    fields: Json = schemas["Thing"]["properties"]
    return fields


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda paths, _: paths.pop("post"), "POST /things/: is gone"),
        (
            lambda paths, _: paths["get"].update(operationId="list_things"),
            "GET /things/: is called list_things, and was things_list",
        ),
        (
            lambda paths, _: paths["get"]["parameters"].clear(),
            "GET /things/: query parameter colour is gone",
        ),
        (
            lambda paths, _: paths["get"]["parameters"][0].update(required=True),
            "GET /things/: query parameter colour is required",
        ),
        (
            lambda paths, _: paths["get"]["parameters"].append(
                {"in": "header", "name": "Key", "required": True, "schema": {}}
            ),
            "GET /things/: header parameter Key is required",
        ),
        (
            lambda paths, _: paths["get"]["parameters"][0]["schema"]["enum"].remove("red"),
            "GET /things/ query parameter colour: is never red",
        ),
        (
            lambda paths, _: body_of(paths).update(required=True),
            "POST /things/: a body is required",
        ),
        (lambda paths, _: paths["post"].pop("requestBody"), "POST /things/: takes no body"),
        (
            lambda paths, _: body_of(paths)["content"].clear(),
            "POST /things/ body: application/json is gone",
        ),
        (
            lambda paths, _: paths["get"]["responses"].pop("200"),
            "GET /things/ 200: is gone",
        ),
        (
            lambda paths, _: paths["get"]["responses"]["200"]["headers"].clear(),
            "GET /things/ 200: the header ETag is gone",
        ),
        (lambda _, schemas: answered(schemas).pop("id"), "answer Thing: id is gone"),
        (
            lambda _, schemas: schemas["Owner"]["properties"].pop("name"),
            "answer Owner: name is gone",
        ),
        (
            lambda _, schemas: schemas["Missing"]["properties"].pop("code"),
            "answer Missing: code is gone",
        ),
        (
            lambda _, schemas: schemas["Thing"]["required"].remove("id"),
            "answer Thing: id may be missing",
        ),
        (
            lambda _, schemas: answered(schemas)["id"].update(type="string"),
            "answer Thing.id: type is string, and was integer",
        ),
        (
            lambda _, schemas: answered(schemas)["id"].update(type="number"),
            "answer Thing.id: type is number, and was integer",
        ),
        (
            lambda _, schemas: answered(schemas)["id"].update(nullable=True),
            "answer Thing.id: may be null",
        ),
        (
            lambda _, schemas: answered(schemas)["owner"]["oneOf"].append({"type": "string"}),
            "answer Thing.owner: is also string",
        ),
        (
            lambda _, schemas: schemas["Colour"]["enum"].remove("red"),
            "answer Colour: is never red",
        ),
        (
            lambda _, schemas: schemas["Colour"]["enum"].append("blue"),
            "answer Colour: is also blue",
        ),
        (
            lambda _, schemas: schemas["Colour"].pop("enum"),
            "answer Colour: the values are any, and were ['red', 'green']",
        ),
        (lambda _, schemas: sent(schemas).pop("weight"), "request ThingRequest: weight is gone"),
        (
            lambda _, schemas: schemas["ThingRequest"]["required"].append("weight"),
            "request ThingRequest: weight is required",
        ),
        (
            lambda _, schemas: sent(schemas)["weight"].update(type="integer"),
            "request ThingRequest.weight: type is integer, and was number",
        ),
        (
            lambda _, schemas: sent(schemas)["colour"].pop("nullable"),
            "request ThingRequest.colour: may not be null",
        ),
        (
            lambda _, schemas: sent(schemas)["colour"].update(enum=["red"]),
            "request ThingRequest.colour: the values are ['red'], and were any",
        ),
        (
            lambda _, schemas: sent(schemas)["colour"].update(maxLength=10),
            "request ThingRequest.colour: maxLength is 10, and was 20",
        ),
        (
            lambda _, schemas: sent(schemas)["colour"].update(minLength=1),
            "request ThingRequest.colour: minLength is 1, and was None",
        ),
        (
            lambda _, schemas: sent(schemas)["colour"].update(pattern="^r"),
            "request ThingRequest.colour: pattern is ^r, and was None",
        ),
        (
            lambda _, schemas: sent(schemas)["tags"]["oneOf"].pop(0),
            "request ThingRequest.tags: is never string",
        ),
    ],
)
def test_what_breaks_programs_is_named(change: Callable[[Json, Json], object], named: str) -> None:
    assert list(breaks(RELEASE, changed(change))) == [named]


def test_fields_that_a_request_may_not_have_any_more_are_named() -> None:
    lenient = changed(lambda _, schemas: schemas["ThingRequest"].pop("additionalProperties"))

    assert list(breaks(lenient, RELEASE)) == ["request ThingRequest: takes no other fields"]


@pytest.mark.parametrize(
    "change",
    [
        lambda paths, _: paths.update(delete={"operationId": "things_destroy", "responses": {}}),
        lambda paths, _: paths["get"]["parameters"].append(
            {"in": "query", "name": "size", "schema": {}}
        ),
        lambda paths, _: paths["get"]["parameters"][0]["schema"]["enum"].append("blue"),
        lambda paths, _: paths["get"]["responses"].pop("404"),
        lambda paths, _: paths["get"]["responses"].update({"410": {}}),
        lambda _, schemas: answered(schemas).update(size={"type": "integer"}),
        lambda _, schemas: answered(schemas)["weight"].update(type="integer"),
        lambda _, schemas: schemas["Thing"]["required"].append("weight"),
        lambda _, schemas: sent(schemas).update(size={"type": "integer"}),
        lambda _, schemas: schemas["ThingRequest"]["required"].clear(),
        lambda _, schemas: sent(schemas)["colour"].update(maxLength=30),
        lambda _, schemas: sent(schemas)["weight"].update(nullable=True),
        lambda _, schemas: sent(schemas)["tags"]["oneOf"].append({"type": "integer"}),
    ],
)
def test_what_breaks_nobody_is_not(change: Callable[[Json, Json], object]) -> None:
    assert list(breaks(RELEASE, changed(change))) == []


def test_an_address_that_is_gone_is_named_for_each_of_its_methods() -> None:
    moved = {**RELEASE, "paths": {"/objects/": RELEASE["paths"]["/things/"]}}

    assert list(breaks(RELEASE, moved)) == ["GET /things/: is gone", "POST /things/: is gone"]


def test_a_break_is_refused_unless_it_is_accepted_with_a_reason() -> None:
    found = ["GET /things/: is gone"]

    (says, what_to_do) = judge(found, {})
    assert says.startswith("GET /things/: is gone\n")
    assert "docs/openapi-breaks.yaml" in what_to_do
    assert list(judge(found, {"GET /things/: is gone": "Nobody used it."})) == []


def test_an_accepted_break_that_is_none_is_refused() -> None:
    (problem,) = judge([], {"GET /things/: is gone": "Nobody used it."})

    assert "take it out" in problem


def test_the_gate_reads_the_files(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = changed(lambda _, schemas: answered(schemas).pop("id"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    RELEASED.write_text(yaml.safe_dump(RELEASE))
    ACCEPTED.write_text("# Nothing.\n")
    for document, code in ((RELEASE, 0), (broken, 1)):
        NOW.write_text(yaml.safe_dump(document))
        assert main() == code
    assert "answer Thing: id is gone" in capsys.readouterr().out
