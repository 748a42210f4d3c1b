"""The id of the request that is being answered, or that a task was queued for: for all it logs."""

import re
from typing import Any
from uuid import uuid4

from django.core.signals import request_finished
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

HEADER = "X-Request-Id"
NAME = "request_id"  # in log lines
# What may stand in a log line and in the address of a log search without a second look.
ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,128}")


def begin(sent: str) -> str:
    """Return the id of a request that begins: the one that was sent if it is sane, or a new one."""
    request_id = sent if ACCEPTED.fullmatch(sent) else new()
    bind_contextvars(**{NAME: request_id})
    return request_id


def new() -> str:
    """Return an id that no other request has."""
    return str(uuid4())


def current() -> str:
    """Return the id of the request that this is done for; nothing where it is done for none."""
    return str(get_contextvars().get(NAME, ""))


def _end(**_: Any) -> None:
    # Not at the end of the middleware: a streamed answer is still being made then.
    clear_contextvars()


request_finished.connect(_end, dispatch_uid="toolkit.request_ids")
