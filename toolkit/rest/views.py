"""The base of all endpoints: what a request writes is one transaction, and safe to repeat."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Model
from django.http import HttpResponse
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from toolkit.rest.idempotency.answering import answer_once
from toolkit.rest.idempotency.header import read_key

Row = TypeVar("Row", bound=Model)
Handler = Callable[..., HttpResponse]


class SafeWrites(GenericAPIView[Row]):
    """Does what a request asks for in one transaction; every POST takes an Idempotency-Key.

    Stands before the other bases of every view (`mailing_manager_project.tests.test_api_retries`
    finds those that forget it).
    """

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let in who may do this, and only then put the handler into a transaction."""
        super().initial(request, *args, **kwargs)
        name = str(request.method).lower()
        handler = getattr(self, name, None)
        if handler and request.method not in SAFE_METHODS:
            setattr(self, name, partial(self._write, handler))

    def _write(self, handler: Handler, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        key = read_key(request) if request.method == "POST" else None
        if key is None or not request.user.is_authenticated:
            with transaction.atomic():
                return handler(request, *args, **kwargs)
        return answer_once(request, key, partial(self._answer, handler, request, *args, **kwargs))

    def _answer(
        self, handler: Handler, request: Request, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Return the rendered answer; of what a refusal had done nothing is left."""
        try:
            with transaction.atomic():
                response: Any = handler(request, *args, **kwargs)
        except Exception as error:  # as in APIView.dispatch, which would do this later
            response = self.handle_exception(error)
        response = self.finalize_response(request, response, *args, **kwargs)
        rendered: HttpResponse = response.render() if isinstance(response, Response) else response
        return rendered
