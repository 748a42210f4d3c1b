"""The sender's answers, and how they are classified (docs/sender-api.md)."""

import json
from enum import Enum
from http import HTTPStatus
from typing import NamedTuple

from messages_app.sender.masking import mask

EXCERPT = 120  # characters of a body that are kept as the error
READ = 4096  # bytes of a body that are looked at for that
ACCEPTED = b'{"code": 0, "message": "OK"}'

# The sender has looked at this message and refuses it: RFC 9110, 15.5.1, 15.5.14 and 15.5.21.
REJECTIONS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
# It was not processed, and the same request may be posted again: RFC 9110, 15.5.9; RFC 8470, 5.2;
# RFC 9110, 15.6.4.
NOT_NOW = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.SERVICE_UNAVAILABLE)
# These redirects say that nothing was done at this address: RFC 9110, 15.4.2, 15.4.8 and 15.4.9.
# A 302 or 303 may be the answer to a post that was processed.
MOVED = (
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
)
# What to check when the sender refuses everything from us; else it is the address.
TOKEN_HINT, ADDRESS_HINT = "Check MESSAGE_SENDER_TOKEN.", "Check MESSAGE_SENDER_URL."
HINTS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: TOKEN_HINT,
    HTTPStatus.FORBIDDEN: TOKEN_HINT,
    HTTPStatus.PAYMENT_REQUIRED: "Check the account with the sender.",
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: "Check the proxy.",
}


class Failure(Enum):
    """How a request can end without an answer."""

    NOT_CONNECTED = "no connection"
    TIMEOUT = "no answer in time"
    BROKEN = "the connection broke"


class Answer(NamedTuple):
    """The result of one request: an HTTP answer, or the failure to get one.

    `id` is the message's. `seconds` is how long the request took. `retry_after` is in seconds, and
    0 where the sender named no time. `is_repeated` says that the connection was cut before an
    answer came, and that this is the answer to a second post of the same message. `latency` is how
    many of the seconds the sender took until its answer began; 0 where the transport cannot tell.
    `is_excess` says that it refuses what was too much at that moment, and takes other messages.
    """

    id: int
    status: int = 0
    body: bytes = b""
    seconds: float = 0.0
    retry_after: int = 0
    failure: Failure | None = None
    detail: str = ""
    is_repeated: bool = False
    latency: float = 0.0
    is_excess: bool = False


class Verdict(NamedTuple):
    """What an answer means for the message.

    `is_final`: the message is not retried, since it was accepted or is refused for good.
    `is_systemic`: the sender would refuse any other message now, too. `is_unclear`: the attempt
    failed, and the message may have arrived all the same.
    """

    error_code: str
    error: str = ""
    is_final: bool = False
    is_systemic: bool = False
    is_unclear: bool = False

    @property
    def is_success(self) -> bool:
        """Whether the sender accepted the message."""
        return not self.error_code


SUCCESS = Verdict("", is_final=True)


def classify(answer: Answer) -> Verdict:
    """Return what an answer means, by the table at the top of docs/sender-api.md."""
    verdict = _classify(answer)
    if answer.is_repeated and not verdict.is_success:
        return verdict._replace(is_unclear=True)  # The first post may have arrived.
    return verdict


def _classify(answer: Answer) -> Verdict:
    if answer.failure is Failure.NOT_CONNECTED:
        detail = mask(_printable(answer.detail))
        return Verdict("unavailable", f"The sender cannot be reached: {detail}")
    if answer.failure:
        error = f"The sender gave no answer: {mask(_printable(answer.detail))}"
        return Verdict("unconfirmed", error, is_unclear=True)
    if 200 <= answer.status < 300:
        return _classify_body(answer.body)
    return _classify_status(answer)


def _classify_body(body: bytes) -> Verdict:
    if body == ACCEPTED:
        return SUCCESS
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    code = content.get("code") if isinstance(content, dict) else None
    is_code = type(code) is int  # false and 0.0 equal 0 too
    if is_code and code == 0:
        return SUCCESS
    error = f"The sender did not accept it: {_excerpt(body)}"
    return Verdict("bad_response", error, is_unclear=not is_code)


def _classify_status(answer: Answer) -> Verdict:
    status, error = answer.status, f"HTTP {answer.status}: {_excerpt(answer.body)}"
    if status in REJECTIONS:
        return Verdict("rejected", error, is_final=True)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Verdict("throttled", error)
    if status in NOT_NOW:
        return Verdict("unavailable", error)
    if 300 <= status < 500 and status != HTTPStatus.CONFLICT:
        return _classify_systemic(status, error)
    return Verdict("bad_response", error, is_unclear=True)


def _classify_systemic(status: int, error: str) -> Verdict:
    """Return what a refusal means that any other message would get, too."""
    hint = HINTS.get(status, ADDRESS_HINT)
    code = "unauthorized" if hint == TOKEN_HINT else "unavailable"
    is_unclear = status < 400 and status not in MOVED
    return Verdict(code, f"{error} {hint}", is_systemic=True, is_unclear=is_unclear)


def _excerpt(body: bytes) -> str:
    """Return the beginning of a body as printable text on one line, without secrets."""
    text = mask(_printable(body[:READ].decode("utf-8", "replace")), is_cut=len(body) > READ)
    return text[:EXCERPT].strip()


def _printable(text: str) -> str:
    """Return a text with spaces in place of unprintable characters, which Postgres may refuse."""
    return "".join(c if c.isprintable() else " " for c in text)
