"""The id of the request that is being answered, for its answer and for the log."""

import re
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

from django.core.signals import request_finished

HEADER = "X-Request-Id"
# What may stand in a log line and in the address of a log search without a second look.
ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,128}")

_current: ContextVar[str] = ContextVar("request_id", default="")


def begin(sent: str) -> str:
    """Return the id of a request that begins: the one that was sent if it is sane, or a new one."""
    request_id = sent if ACCEPTED.fullmatch(sent) else new()
    _current.set(request_id)
    return request_id


def new() -> str:
    """Return an id that no other request has."""
    return str(uuid4())


def current() -> str:
    """Return the id of the request that this thread answers; nothing where it answers none."""
    return _current.get()


def _end(**_: Any) -> None:
    # Not at the end of the middleware: a streamed answer is still being made then.
    _current.set("")


request_finished.connect(_end, dispatch_uid="toolkit.request_ids")
