"""The OpenAPI document as it is served: to many at once, once to each, and readable."""

import gzip
import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from django.conf import settings
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from tests.rest import JsonClient, refusal
from toolkit.rest import schema_view

SCHEMA = "/api/v1/schema/"
FIRST_READERS = """
import io, sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from wsgiref.util import setup_testing_defaults
from mailing_manager_project.wsgi import application

together = Barrier(8)
sys.setswitchinterval(1e-5)

def read(number):
    environ = {"PATH_INFO": "/api/v1/schema/", "HTTP_HOST": "localhost"}
    setup_testing_defaults(environ)
    statuses = []
    together.wait()
    body = application(environ, lambda status, headers: statuses.append(status))
    return statuses[0][:3], len(b"".join(body))

with ThreadPoolExecutor(8) as pool:
    print(set(pool.map(read, range(8))))
"""
YAML = ("application/vnd.oai.openapi", "application/yaml", "*/*")
JSON = ("application/vnd.oai.openapi+json", "application/json")


@pytest.fixture
def reader() -> APIClient:
    """Return somebody who is not logged in."""
    return JsonClient()


def test_the_first_readers_of_a_fresh_process_all_get_the_document() -> None:
    """What makes it is not safe for threads, and a web server has several."""
    told = subprocess.run(
        [sys.executable, "-c", FIRST_READERS],
        cwd=settings.BASE_DIR, capture_output=True, text=True, check=True, timeout=100,
    ).stdout  # fmt: skip

    assert told.startswith("{('200', ")
    assert told.count("'200'") == 1  # all of one length
    assert told.count("(") == 1


def test_the_document_is_made_once(reader: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    make = SchemaGenerator.get_schema

    def count(*arguments: Any, **named: Any) -> Any:
        made.append(1)
        return make(*arguments, **named)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(SchemaGenerator, "get_schema", count)
    schema_view._described.cache_clear()
    schema_view._made.cache_clear()

    for accept in (*YAML, *JSON):
        assert reader.get(SCHEMA, headers={"accept": accept}).status_code == 200
    assert len(made) == 1


def test_it_can_be_had_as_yaml_and_as_json(reader: APIClient) -> None:
    described = [
        *(yaml.safe_load(reader.get(SCHEMA, headers={"accept": kind}).content) for kind in YAML),
        *(json.loads(reader.get(SCHEMA, headers={"accept": kind}).content) for kind in JSON),
    ]

    assert described[0]["openapi"] == "3.0.3"
    assert all(each == described[0] for each in described)


def test_whoever_has_it_already_gets_it_no_second_time(reader: APIClient) -> None:
    first = reader.get(SCHEMA)
    again = reader.get(SCHEMA, headers={"if-none-match": first["ETag"]})
    as_json = reader.get(
        SCHEMA, headers={"if-none-match": first["ETag"], "accept": "application/json"}
    )

    assert (first["Cache-Control"], first["Vary"]) == (
        "public, no-cache",
        "Accept-Encoding, Accept, origin",
    )
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert as_json.status_code == 200


def test_it_is_compressed_for_whoever_can_read_that(reader: APIClient) -> None:
    plain = reader.get(SCHEMA)
    small = reader.get(SCHEMA, headers={"accept-encoding": "br, gzip"})

    assert "Content-Encoding" not in plain
    assert small["Content-Encoding"] == "gzip"
    assert gzip.decompress(small.content) == plain.content
    assert len(small.content) < len(plain.content) / 5


def test_its_errors_and_its_options_are_json_like_all_others(reader: APIClient) -> None:
    assert refusal(reader.post(SCHEMA, {})) == (405, {None: "method_not_allowed"})
    refused = reader.get(SCHEMA, headers={"accept": "image/png"})
    assert refusal(refused) == (406, {None: "not_acceptable"})

    options = reader.options(SCHEMA)
    assert (options.status_code, options["Content-Type"]) == (200, "application/json")
    assert "application/yaml" in options.json()["renders"]
