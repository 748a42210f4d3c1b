"""Streams of rows, as CSV or as NDJSON: any number of them, in the memory of a few thousand.

An address that exports is a view of its own for each format:

    class ClientExport(ExportView[Client]):
        queryset = Client.objects.all()
        needs = needs(Client)
        filterset_class = ClientFilterSet
        file_name = "clients"
        columns = ("id", "tag")

        def chunks(self) -> Iterator[Sequence[Values]]:
            return in_chunks(self.filter_queryset(self.get_queryset()), self.columns)

    @described(CSV, summary="Export clients as CSV", example="…", …)
    class ClientsAsCsv(ClientExport):
        format = CSV

    path("clients/export.csv", ClientsAsCsv.as_view())

The rows are read in chunks by key and not through a cursor of the database: between two chunks no
statement and no transaction is open, however slowly somebody reads. So it is no snapshot: a row is
exported as it is when its chunk is read, and each that is there all the time is exported once.

Whatever fails before the first chunk is an error like any other. Later the connection is cut, so
that half an export never looks like a whole one.
"""

import csv
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from threading import BoundedSemaphore
from typing import Any, ClassVar, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from toolkit.cells import as_text
from toolkit.rest.errors import Unavailable
from toolkit.rest.fields import moment_text
from toolkit.rest.views import SafeWrites

Row = TypeVar("Row", bound=Model)
Values = Sequence[Any]  # of the columns
Chunks = Iterable[Sequence[Values]]

CHUNK = 2_000  # rows that are in memory at once
# Streams of a process at once. Somebody who reads slowly holds a thread of the web server, and
# pages must always have some left.
AT_ONCE = 2
GZIP = 16 + zlib.MAX_WBITS
ACCEPTS_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))")

_places = BoundedSemaphore(AT_ONCE)


@dataclass(frozen=True)
class Format:
    """How rows are written."""

    suffix: str
    media_type: str
    head: Callable[[Sequence[str]], str]
    body: Callable[[Sequence[str], Iterable[Values]], str]


def _csv_lines(rows: Iterable[Values]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    match value:
        case str():  # first, as most are
            return as_text(value)
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return value
    return as_text(_plain(value))


def _json_lines(columns: Sequence[str], rows: Iterable[Values]) -> str:
    lines = (_to_json(dict(zip(columns, row, strict=True))) for row in rows)
    return "".join(f"{line}\n" for line in lines)


def _plain(value: Any) -> str:
    """Return a moment, or whatever has a name, as REST writes it everywhere."""
    return moment_text(value) if isinstance(value, datetime) else str(value)


_to_json = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), check_circular=False, default=_plain
).encode

# RFC 4180, in UTF-8, with a header; cells that a spreadsheet would take for a formula begin with '.
CSV = Format(
    "csv", "text/csv", lambda columns: _csv_lines([columns]), lambda _, rows: _csv_lines(rows)
)
# A JSON object on each line, with the same names and values as the list over REST.
NDJSON = Format("ndjson", "application/x-ndjson", lambda _: "", _json_lines)


class TooManyStreams(Unavailable):
    """503: as many exports as this process does at once are under way."""

    default_detail = "Others are exporting just now. Try again in a moment."
    default_code = "too_many_exports"
    wait = 5  # seconds, told as Retry-After


def in_chunks(
    rows: QuerySet[Any], columns: Sequence[str], *, key: str = "-pk", size: int = CHUNK
) -> Iterator[Sequence[Values]]:
    """Yield the columns of rows, in the order of a key, each chunk by a statement of its own.

    Args:
        rows: those selected; their order does not count.
        columns: names of fields, also of related rows.
        key: a field that no two rows share and that is never null, or "-" and its name. Together
            with what selects the rows it should be an index.
        size: rows of a chunk.
    """
    after = f"{key.removeprefix('-')}__{'lt' if key.startswith('-') else 'gt'}"
    ordered = rows.order_by(key)
    chunk: list[Any] = list(ordered.values_list(key.removeprefix("-"), *columns)[:size])
    while chunk:
        yield [row[1:] for row in chunk]
        if len(chunk) < size:
            return
        following = ordered.filter(**{after: chunk[-1][0]})
        chunk = list(following.values_list(key.removeprefix("-"), *columns)[:size])


def stream(
    request: Request | HttpRequest,
    format: Format,
    *,
    name: str,
    columns: Sequence[str],
    chunks: Chunks,
) -> HttpResponseBase:
    """Answer with rows as a file, compressed where the caller takes gzip.

    Args:
        request: of the caller.
        format: CSV or NDJSON.
        name: of the file, without its suffix.
        columns: their names.
        chunks: the rows; the first chunk is read before anything is answered.

    Raises:
        TooManyStreams: there are as many under way as this process can do at once.
    """
    content_type = f"{format.media_type}; charset=utf-8"
    headers = {"Content-Disposition": f'attachment; filename="{name}.{format.suffix}"'}
    if request.method == "HEAD":
        return HttpResponse(content_type=content_type, headers=headers)
    content: Iterator[bytes] = _encoded(format, columns, chunks)
    is_compressed = bool(ACCEPTS_GZIP.search(request.headers.get("Accept-Encoding", "")))
    if is_compressed:
        headers["Content-Encoding"] = "gzip"
        content = _compressed(content)
    response = StreamingHttpResponse(_Held(content), content_type=content_type, headers=headers)
    patch_vary_headers(response, ["Accept-Encoding"])
    return response


def _encoded(format: Format, columns: Sequence[str], chunks: Chunks) -> Iterator[bytes]:
    yield format.head(columns).encode()
    for rows in chunks:
        yield format.body(columns, rows).encode()


def _compressed(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same in gzip, a part for each; quickly rather than as small as possible."""
    packer = zlib.compressobj(level=1, wbits=GZIP)
    for part in parts:
        yield packer.compress(part)
    yield packer.flush()


class _Held(Iterator[bytes]):
    """What is streamed; holds one of the places until it is closed."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        """Take a place, and read what comes first.

        Raises:
            TooManyStreams: there is none left.
        """
        self._is_open = _places.acquire(blocking=False)
        if not self._is_open:
            raise TooManyStreams
        try:
            # The head and the first chunk: what fails now can still be told as an error.
            self._parts = chain([next(parts, b""), next(parts, b"")], parts)
        except BaseException:
            self.close()
            raise

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        """Give the place back; called at the end of the answer, whatever became of it."""
        if self._is_open:
            self._is_open = False
            _places.release()

    __del__ = close  # of an answer that was never sent


class _Addressed(DefaultContentNegotiation):
    """The address says what comes; the caller must take that, or JSON. Errors are JSON."""

    def __init__(self, media_type: str) -> None:
        self._media_type = media_type

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the renderer of errors.

        Raises:
            NotAcceptable: the caller takes neither.
        """
        first, *others = renderers
        export = BaseRenderer()
        export.media_type = self._media_type
        super().select_renderer(request, [first, *others, export], format_suffix)
        return first, first.media_type


class ExportView(SafeWrites[Row]):
    """The base of addresses that stream rows; see the top of this module."""

    format: ClassVar[Format] = CSV
    file_name: ClassVar[str]
    columns: ClassVar[Sequence[str]]
    detail = False  # The query parameters are those of the list.
    pagination_class = None

    def get_content_negotiator(self) -> _Addressed:
        """Return what decides whether the caller takes the format of this address."""
        return _Addressed(self.format.media_type)

    def chunks(self) -> Chunks:
        """Return the rows; see `in_chunks`."""
        raise NotImplementedError

    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer with the rows as a file."""
        return stream(
            request, self.format, name=self.file_name, columns=self.columns, chunks=self.chunks()
        )


def described(
    format: Format, *, operation_id: str, summary: str, description: str, example: str, tag: str
) -> Any:
    """Return a decorator that describes an ExportView for OpenAPI.

    Args:
        format: of the view.
        operation_id: the name of the operation in generated clients, such as clients_export_csv.
        summary: what it does, in a few words.
        description: what the rows are and in which order they come.
        example: what an answer may look like.
        tag: under which the operation is shown.
    """
    return extend_schema_view(
        get=extend_schema(
            operation_id=operation_id,
            summary=summary,
            description=f"{description} {DESCRIPTIONS[format.suffix]} It is streamed, and "
            "compressed if you take gzip. It is no snapshot: rows that are added meanwhile may be "
            "missing. If something fails on the way, the connection is cut before the end. Only a "
            "few can be had at once (503 `too_many_exports`).",
            responses={(200, format.media_type): OpenApiTypes.STR},
            examples=[
                OpenApiExample(
                    "Some rows", value=example, response_only=True, media_type=format.media_type
                )
            ],
            tags=[tag],
        )
    )


DESCRIPTIONS = {
    "csv": "CSV (RFC 4180) in UTF-8 with a header; a text that a spreadsheet would take for a "
    "formula has an apostrophe before it.",
    "ndjson": "A JSON object on each line, with the names and values of the list.",
}
