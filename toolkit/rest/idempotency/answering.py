"""Answer a POST once: do it and keep its answer in one transaction, or give that answer again."""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db import OperationalError, transaction
from django.http import HttpResponse
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from toolkit.encryption import UnreadableError
from toolkit.rest.errors import Conflict, is_locked
from toolkit.rest.idempotency.models import GivenAnswer

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile


class InProgress(Conflict):
    """409: the first request with this key has not been answered yet."""

    default_detail = (
        "The first request with this Idempotency-Key is still being worked on. Repeat it in a "
        "moment to get its answer."
    )
    default_code = "idempotency_in_progress"
    wait = 1  # seconds, told as Retry-After


class OutcomeUnknown(Conflict):
    """409: the first request was begun, and nothing is known of its end."""

    default_detail = (
        "The first request with this Idempotency-Key was begun, and how it ended is not known yet. "
        "Repeat it in a moment; if it stays so, take a new key to have it done once more."
    )
    default_code = "outcome_unknown"
    wait = 1  # seconds, told as Retry-After


class KeyReused(APIException):
    """422: the key belongs to another request."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = (
        "This Idempotency-Key was used for another body. Repeat a request exactly as it was, and "
        "take a new key for a new one. Nothing was done."
    )
    default_code = "idempotency_key_reused"


class _Undone(Exception):  # noqa: N818  # no error, but the way out of a transaction
    """Rolls back what was done, because its answer says that it failed by our fault."""

    def __init__(self, response: HttpResponse) -> None:
        self.response = response


def answer_once(request: Request, key: str, answer: Callable[[], HttpResponse]) -> HttpResponse:
    """Return the rendered answer to a request, or the one that was given to it before.

    `answer` does what is asked for, in the transaction that is open, and raises nothing that can
    be answered. An answer of 500 and more is not kept, and nothing that was done with it.

    Raises:
        InProgress: the first request with this key has not ended.
        OutcomeUnknown: it was answered with a secret, and SECRET_KEY was changed since.
        KeyReused: the first one had another body.
    """
    fingerprint = _fingerprint(request)
    try:
        with transaction.atomic():
            given, is_first = _claim(_hash_of_key(request, key), fingerprint)
            if is_first:
                return _keep(given, answer())
    except _Undone as undone:
        return undone.response
    if given.fingerprint != fingerprint:
        raise KeyReused
    try:
        return given.give_again()
    except UnreadableError:
        raise OutcomeUnknown from None


def answer_outside(request: Request, key: str, answer: Callable[[], HttpResponse]) -> HttpResponse:
    """Do what cannot be undone once at most, and return its rendered answer, or that given before.

    The key is committed first, and no transaction is open while `answer` has something done
    elsewhere. If its process is killed meanwhile, the key stays without an answer. An answer of
    500 and more is not kept, as in `answer_once`.

    Raises:
        OutcomeUnknown: the first one has not been answered, yet or for ever.
        KeyReused: the first one had another body.
    """
    fingerprint = _fingerprint(request)
    with transaction.atomic():
        given, is_first = _claim(_hash_of_key(request, key), fingerprint)
    if is_first:
        response = answer()
        if response.status_code >= status.HTTP_500_INTERNAL_SERVER_ERROR:
            given.delete()
        else:
            given.keep(response)
        return response
    if given.fingerprint != fingerprint:
        raise KeyReused
    if not given.status:
        raise OutcomeUnknown
    return given.give_again()


def _claim(key: str, fingerprint: str) -> tuple[GivenAnswer, bool]:
    try:
        return GivenAnswer.objects.claim(key, fingerprint=fingerprint)
    except OperationalError as error:
        if is_locked(error):
            raise InProgress from error
        raise


def _keep(given: GivenAnswer, response: HttpResponse) -> HttpResponse:
    if response.status_code >= status.HTTP_500_INTERNAL_SERVER_ERROR:
        raise _Undone(response)
    given.keep(response)
    return response


def _hash_of_key(request: Request, key: str) -> str:
    """Return the name of a request: the same key is another one for others and elsewhere."""
    return _sha256(str(request.user.pk).encode(), request.path.encode(), key.encode())


def _fingerprint(request: Request) -> str:
    """Return a hash of what was sent; a form's boundary, which is made anew each time, left out."""
    query = request.META.get("QUERY_STRING", "").encode()
    if not (request.content_type or "").lower().startswith("multipart/"):
        return _sha256(query, request._request.body)
    parts = [query]
    form: Any = request.data  # a QueryDict; of an empty body a dictionary
    for name, values in sorted(form.lists()) if form else ():
        for value in values:
            parts += [name.encode(), _content(value)]
    return _sha256(*parts)


def _content(value: "str | UploadedFile[bytes]") -> bytes:
    """Return a text of a form, or a hash of a file, which may be large."""
    if isinstance(value, str):
        return value.encode()
    digest = hashlib.sha256()
    for chunk in value.chunks():
        digest.update(chunk)
    value.seek(0)
    return digest.digest()


def _sha256(*parts: bytes) -> str:
    """Return a hash of texts, which is another one when a boundary between them moves."""
    return hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()
