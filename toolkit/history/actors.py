"""Who is at work: somebody in a request, a command, or a task.

Whatever calls a service need not hand that down: a request sets it for itself (`middleware`), and
Celery for each task.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial

from django.db.models import TextChoices
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _


class Door(TextChoices):
    """By which way something is done."""

    REST = "rest", _("REST")
    CONSOLE = "console", _("Console")
    COMMAND = "command", _("Command")
    TASK = "task", _("Task")


@dataclass(frozen=True)
class Actor:
    """Who does something. A command and a task are nobody's."""

    door: Door
    user_id: int | None = None
    username: str = ""
    token: str = ""  # the beginning of a token (`token_key`), by which it is known


_current: ContextVar[Callable[[], Actor] | None] = ContextVar("actor", default=None)


def current_actor() -> Actor:
    """Return who is at work; a command, where nobody says otherwise."""
    actor = _current.get()
    return actor() if actor else Actor(Door.COMMAND)


@contextmanager
def acting(actor: Callable[[], Actor]) -> Iterator[None]:
    """Have everything meanwhile done by whom `actor` returns; it is asked at each deed."""
    token = _current.set(actor)
    try:
        yield
    finally:
        _current.reset(token)


def begin_task() -> None:
    """Have everything from now on done by a task."""
    _current.set(partial(Actor, Door.TASK))


def end_task() -> None:
    """Have it done by a task no longer."""
    _current.set(None)


def actor_of(request: HttpRequest, door: Door) -> Actor:
    """Return who sent a request, as far as it is known by now.

    REST framework leaves the user and the token whom it let in on Django's request.
    """
    token = str(getattr(getattr(request, "auth", None), "token_key", ""))
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return Actor(door)
    return Actor(door, user.pk, user.get_username(), token)
