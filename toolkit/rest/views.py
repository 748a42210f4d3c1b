"""The base of all endpoints: what a request writes is one transaction, and overwrites nothing."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar

from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpResponse
from django.urls import reverse
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.serializer_helpers import ReturnDict

from toolkit.rest.choosing import EXPAND, FIELDS, choose_fields, expansion_of
from toolkit.rest.idempotency.answering import answer_once, answer_outside
from toolkit.rest.idempotency.header import read_key
from toolkit.rest.permissions import require
from toolkit.rest.preconditions import PreconditionFailed, etag_of, is_among, not_modified

Row = TypeVar("Row", bound=Model)
Handler = Callable[..., HttpResponse]


class SafeWrites(GenericAPIView[Row]):
    """Does what a request asks for in one transaction; every POST takes an Idempotency-Key.

    Stands before the other bases of every view (`mailing_manager_project.tests.test_api_retries`
    finds those that forget it). A request that writes to one object has it locked from the first
    look at it to the commit, so that it is validated, compared and changed as it is.
    """

    is_lock_shared_with_references: ClassVar = False  # FOR NO KEY UPDATE, as the services lock it
    # Actions that write nothing here and have something done elsewhere, which takes seconds and
    # cannot be undone: no transaction and no lock is held meanwhile.
    outside: ClassVar[tuple[str, ...]] = ()
    is_single: ClassVar = False  # a view of the only object of its kind, without an id
    # What the tag does not tell apart, because it says something of the moment or of a request.
    untagged: ClassVar[tuple[str, ...]] = ()
    # {what `?expand=` can name: the permission to see such}; the serializer has a field `expanded`.
    expands: ClassVar[Mapping[str, str]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let in who may do this, and only then put the handler into a transaction."""
        super().initial(request, *args, **kwargs)
        name = str(request.method).lower()
        handler = getattr(self, name, None)
        if handler and request.method not in SAFE_METHODS:
            run = self._write_outside if self.is_outside else self._write
            setattr(self, name, partial(run, handler))

    @property
    def is_writing(self) -> bool:
        """Whether the request may change something."""
        return self.request.method not in SAFE_METHODS

    @property
    def is_outside(self) -> bool:
        """Whether the request is for one of the actions in `outside`."""
        return getattr(self, "action", None) in self.outside

    @property
    def choosing(self) -> set[str]:
        """The query parameters that choose what of its rows is answered."""
        if getattr(self, "action", None) not in ("list", "retrieve"):
            return set()
        return {FIELDS, EXPAND} if self.expands else {FIELDS}

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        """Return the serializer, with the fields that are asked for."""
        serializer = super().get_serializer(*args, **kwargs)
        if FIELDS in self.choosing:
            choose_fields(serializer, self.request)
        return serializer

    def get_serializer_context(self) -> dict[str, Any]:
        """Return what a serializer may need to know: `expand`, too, if that is asked for."""
        asked = expansion_of(self.request, self.expands) if EXPAND in self.choosing else ""
        if asked:
            require(self.request, [self.expands[asked]])
        return {**super().get_serializer_context(), EXPAND: asked}

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Select the rows; one that is to be changed is locked with that."""
        return self.locked(super().filter_queryset(queryset))

    def locked(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return rows that are locked when they are read, if the request writes."""
        if not self.is_writing or self.is_outside:
            return rows
        return rows.select_for_update(of=("self",), no_key=self.is_lock_shared_with_references)

    def get_object(self) -> Row:
        """Return the object that the request is about.

        Raises:
            PreconditionFailed: it is to be changed, and is not what If-Match names any more.
        """
        found = super().get_object()
        self.check_precondition(found)
        return found

    def check_precondition(self, found: Row) -> None:
        """Compare the object that is about to be changed, and is locked, with If-Match.

        Raises:
            PreconditionFailed: it was changed since.
        """
        expected = self.request.headers.get("If-Match")
        if expected is None or not self.is_writing:
            return
        if not is_among(etag_of(self.shown(self.get_serializer(found).data)), expected):
            raise PreconditionFailed

    def shown(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return of an object's representation what its entity tag tells apart."""
        return {name: value for name, value in data.items() if name not in self.untagged}

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Put its entity tag on an answer that shows an object; 304 if the caller has that."""
        response = super().finalize_response(request, response, *args, **kwargs)
        data: Any = getattr(response, "data", None)
        if response.status_code == status.HTTP_201_CREATED and isinstance(data, Mapping):
            for name, value in self.location_of(data).items():
                response.headers.setdefault(name, value)
        if not self._is_representation(data):
            return response
        response["ETag"] = etag_of(self.shown(data))
        known = request.headers.get("If-None-Match", "")
        is_known = not self.is_writing and is_among(response["ETag"], known)
        return not_modified(response) if is_known else response

    def location_of(self, made: Mapping[str, Any]) -> dict[str, str]:
        """Return the header that says where it is; views that are no viewsets override this.

        A path, because behind a proxy a caller may know this host under another name.
        """
        basename = getattr(self, "basename", None)
        path = reverse(f"{basename}-detail", args=[made["id"]]) if basename else ""
        return {"Location": path} if path else {}

    def _is_representation(self, data: object) -> bool:
        of = data.serializer if isinstance(data, ReturnDict) else None
        return bool(self.serializer_class and isinstance(of, self.serializer_class))

    def _write(self, handler: Handler, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        key = read_key(request) if request.method == "POST" else None
        if key is None or not request.user.is_authenticated:
            with transaction.atomic():
                return handler(request, *args, **kwargs)
        undone = transaction.atomic(handler)  # Of what a refusal had done nothing is left.
        return answer_once(request, key, partial(self._answer, undone, request, *args, **kwargs))

    def _write_outside(
        self, handler: Handler, request: Request, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        key = read_key(request) if request.method == "POST" else None
        if key is None or not request.user.is_authenticated:
            return handler(request, *args, **kwargs)
        answer = partial(self._answer, handler, request, *args, **kwargs)
        return answer_outside(request, key, answer)

    def _answer(
        self, handler: Handler, request: Request, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Return the rendered answer, or refusal."""
        try:
            response: Any = handler(request, *args, **kwargs)
        except Exception as error:  # as in APIView.dispatch, which would do this later
            response = self.handle_exception(error)
        response = self.finalize_response(request, response, *args, **kwargs)
        rendered: HttpResponse = response.render() if isinstance(response, Response) else response
        return rendered
