"""What a check finds."""

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Finding(NamedTuple):
    """What is the case, how bad that is, and what to do about it."""

    level: Level
    detail: str
    hint: str = ""
    check: str = ""  # the name of the check, which `examine` adds


def fine(detail: str, hint: str = "") -> Finding:
    """Return that something is as it should be."""
    return Finding(Level.OK, detail, hint)


def warning(detail: str, hint: str) -> Finding:
    """Return something that works, and ought not to stay so."""
    return Finding(Level.WARNING, detail, hint)


def error(detail: str, hint: str) -> Finding:
    """Return something that keeps messages from being sent, or will."""
    return Finding(Level.ERROR, detail, hint)
