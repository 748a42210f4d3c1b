"""The broker's queues: how many tasks wait in each, and how many processes serve it."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

from toolkit.patience import within

TIMEOUT = 5.0  # seconds that the broker has to answer
HEARING = 1.5  # seconds in which workers answer a question

Found = TypeVar("Found")


class BrokerAwayError(Exception):
    """The broker refuses, or does not answer in time; in words, why."""


def lengths() -> dict[str, int]:
    """Return {queue: tasks that wait in it}.

    Raises:
        BrokerAwayError: the broker cannot say.
    """
    return _ask(_lengths, seconds=TIMEOUT)


def served() -> dict[str, int]:
    """Return {queue: processes that serve it}, by what workers say; nothing if none does.

    Raises:
        BrokerAwayError: they cannot be asked.
    """
    return _ask(_served, seconds=TIMEOUT + 2 * HEARING)


def _ask(question: Callable[[Any], Found], *, seconds: float) -> Found:
    # Any: which errors it has depends on the transport.
    broker: Any = current_app.connection_for_read(connect_timeout=TIMEOUT)
    try:
        return within(seconds, partial(question, broker))
    except TimeoutError:
        raise BrokerAwayError(f"no answer in {seconds:g} seconds") from None
    except (OperationalError, *broker.connection_errors, *broker.channel_errors) as error:
        raise BrokerAwayError(str(error)) from None


def _lengths(broker: Any) -> dict[str, int]:
    with broker:
        channel = broker.channel()
        # Declared as workers do, so that one which nobody has declared yet is empty, and no error.
        bound: dict[str, Any] = {
            queue.name: queue(channel) for queue in settings.CELERY_TASK_QUEUES
        }
        return {name: queue.queue_declare().message_count for name, queue in bound.items()}


def _served(broker: Any) -> dict[str, int]:
    with broker:
        ask = current_app.control.inspect(timeout=HEARING, connection=broker)
        queues: dict[str, Any] = ask.active_queues() or {}
        about: dict[str, Any] = ask.stats() or {}
    numbers: Counter[str] = Counter()
    for worker, of_worker in queues.items():
        pool = about.get(worker, {}).get("pool", {})
        processes = pool.get("max-concurrency", 1)
        numbers.update({queue["name"]: processes for queue in of_worker})
    return dict(numbers)
