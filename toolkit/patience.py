"""Patience: what may hang is called in a thread of its own, and waited for no longer than told."""

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


def begin(call: Callable[[], Result]) -> "Future[Result]":
    """Call something in a thread of its own, which ends with the program if it hangs.

    Whatever it raises is raised in the thread that waits for the result. What it logs and queues
    belongs to the same request.
    """
    future: Future[Result] = Future()
    Thread(target=copy_context().run, args=[_run, future, call], daemon=True).start()
    return future


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Return what a call returns.

    Raises:
        TimeoutError: it takes longer; it goes on, and nobody waits for it.
    """
    return begin(call).result(seconds)


def _run(future: "Future[Result]", call: Callable[[], Result]) -> None:
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
