"""The OpenAPI document as it is served: made once, and told apart by its ETag."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

from django.http import HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response, patch_vary_headers
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

FORMATS = (OpenApiYamlRenderer, OpenApiYamlRenderer2, OpenApiJsonRenderer, OpenApiJsonRenderer2)
_making = Lock()


@dataclass(frozen=True)
class Document:
    """The document in one of its formats."""

    content: bytes
    compressed: bytes  # with gzip

    @property
    def etag(self) -> str:
        """The weak ETag of both: they are the same document."""
        return f'W/"{hashlib.sha256(self.content).hexdigest()[:32]}"'


def document(media_type: str) -> Document:
    """Return the document in one of the FORMATS.

    It takes a processor as long as dozens of other requests, and what makes it is not safe for
    threads: whoever comes while it is being made waits for it.
    """
    with _making:
        return _made(media_type)


@cache
def _made(media_type: str) -> Document:
    render: Any = next(kind for kind in FORMATS if kind.media_type == media_type)().render
    content: bytes = render(_described(), renderer_context={})
    return Document(content, gzip.compress(content, mtime=0))


@cache
def _described() -> dict[str, Any]:
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    described: dict[str, Any] = generator.get_schema(public=True)  # type: ignore[no-untyped-call]
    return described


class SchemaView(APIView):
    """The OpenAPI document of this API, as YAML or JSON."""

    schema = None
    renderer_classes = FORMATS

    def get(self, request: Request) -> HttpResponseBase:
        """Answer with the document; 304 if the caller has it already."""
        renderer = request.accepted_renderer
        made = document(renderer.media_type)
        response = HttpResponse(made.content, content_type=renderer.media_type)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            response = HttpResponse(made.compressed, content_type=renderer.media_type)
            response["Content-Encoding"] = "gzip"
        response["ETag"] = made.etag
        response["Cache-Control"] = "public, no-cache"  # It may be kept, and is asked for anew.
        response["Content-Disposition"] = f'inline; filename="schema.{renderer.format}"'
        patch_vary_headers(response, ["Accept-Encoding"])
        answer = get_conditional_response(request._request, etag=made.etag, response=response)
        return answer or response

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """Tell what can be asked for, as JSON like everywhere else."""
        _answer_in_json(request)
        return super().options(request, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> Response:
        """Answer an error as JSON, like everywhere else."""
        _answer_in_json(self.request)
        return super().handle_exception(exc)


def _answer_in_json(request: Request) -> None:
    request.accepted_renderer = JSONRenderer()
    request.accepted_media_type = JSONRenderer.media_type
