"""POST /send/{id}: accepts a message by the contract, or answers with a fault."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate

from sandbox_sender.accounts import Accounts
from sandbox_sender.answers import (
    HANG,
    OK,
    RESET,
    UNAUTHORIZED,
    Answer,
    build,
    build_error,
    build_json,
)
from sandbox_sender.contract import ContractError, read_message
from sandbox_sender.fault_draw import FaultDraw, RateLimit
from sandbox_sender.faults import Faults

BAD_REQUEST = build_error(400, "A fault of the sandbox: bad_request.")
SERVER_ERROR = build_error(500, "A fault of the sandbox: server_error.")
WRONG_CODE = build_json(200, {"code": 1, "message": "A fault of the sandbox: wrong_code."})
# Bodies that are no answer of the contract, from invalid UTF-8 to almost right JSON. A client must
# take none of them for an acceptance.
GARBAGE = (
    build(200, b"\xff\xfe\x00garbage\x80"),
    build(200, b"<html><body>OK</body></html>", "text/html"),
    build(200, b""),
    build(200, b"null"),
    build(200, b'["code", 0]'),
    build(200, b'{"message": "OK"}'),
    build(200, b'{"code": "0", "message": "OK"}'),
    build(200, b'{"code": 0, "mess'),
)
# Faults in which the message is accepted, and the client does not learn of it.
LATE_FAULTS = {"reset_after": RESET, "hang_after": HANG}


class SendEndpoint:
    """Answers requests to send, by the contract or by a fault."""

    def __init__(self, accounts: Accounts, token: str, faults: Faults) -> None:
        """Require this bearer token; if it is empty, accept any."""
        self.accounts = accounts
        self.token = token.encode()
        self.set_faults(faults)

    def set_faults(self, faults: Faults) -> None:
        """Replace the faults of all requests from now on."""
        self.faults = faults
        self.draw = FaultDraw(faults)
        self.limit = RateLimit(faults.rate_limit)

    def answer(self, authorization: bytes, path_id: bytes, body: bytes) -> Answer:
        """Accept a message or not, and return the answer.

        Only valid requests get faults, so that a fault's rate is its share of valid messages.
        """
        if not self.is_allowed(authorization):
            return self.reject(UNAUTHORIZED)
        try:
            message = read_message(body, path_id)
        except ContractError as error:
            return self.reject(build_error(400, str(error)))
        now = time.time()
        if self.limit.is_exceeded(now):
            return self.reject(self.build_throttled(), "rate_limit")
        fault = self.draw.draw_fault()
        if fault in EARLY_FAULTS:
            return self.reject(EARLY_FAULTS[fault](self), fault)
        self.accounts.accept(message, now)
        return self.count(LATE_FAULTS[fault] if fault else OK, fault)

    def is_allowed(self, authorization: bytes) -> bool:
        """Tell whether the Authorization header carries the token."""
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or self.faults.token_revoked:
            return False
        return token == self.token if self.token else bool(token.strip())

    def refuse_excess(self) -> Answer | None:
        """Return a 503 if as many requests as may be open wait for their answers, else None."""
        most = self.faults.max_open
        if most is None or self.accounts.in_flight < most:
            return None
        return self.reject(self.build_unavailable(), "max_open")

    def reject(self, answer: Answer, fault: str = "") -> Answer:
        """Count the message as not accepted."""
        self.accounts.rejected += 1
        return self.count(answer, fault)

    def count(self, answer: Answer, fault: str) -> Answer:
        """Count the answer and the fault behind it."""
        if answer.status:
            self.accounts.statuses[answer.status] += 1
        if fault:
            self.accounts.faults[fault] += 1
        return answer

    def build_throttled(self) -> Answer:
        """Return a 429, with Retry-After."""
        headers = self.build_retry_after(self.faults.retry_after)
        return build_error(429, "Too many requests.", headers)

    def build_unavailable(self) -> Answer:
        """Return a 503, with Retry-After if the faults say so."""
        headers = self.build_retry_after(self.faults.unavailable_retry_after)
        return build_error(503, "A fault of the sandbox: unavailable.", headers)

    def build_retry_after(self, seconds: int | None) -> dict[str, str]:
        """Return the header in one of the two forms of RFC 9110, 10.2.3."""
        if seconds is None:
            return {}
        if self.faults.retry_after_date:
            return {"Retry-After": formatdate(time.time() + seconds, usegmt=True)}
        return {"Retry-After": str(seconds)}

    def pick_garbage(self) -> Answer:
        """Return one of the senseless answers."""
        return self.draw.random.choice(GARBAGE)


EARLY_FAULTS: dict[str, Callable[[SendEndpoint], Answer]] = {
    "bad_request": lambda _: BAD_REQUEST,
    "throttled": SendEndpoint.build_throttled,
    "server_error": lambda _: SERVER_ERROR,
    "unavailable": SendEndpoint.build_unavailable,
    "wrong_code": lambda _: WRONG_CODE,
    "garbage": SendEndpoint.pick_garbage,
    "reset_before": lambda _: RESET,
    "hang": lambda _: HANG,
}
