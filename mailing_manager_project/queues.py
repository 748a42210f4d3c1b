"""The broker's queues: how many tasks wait in each."""

from functools import partial
from typing import Any

from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

from toolkit.patience import within

TIMEOUT = 5.0  # seconds that the broker has to answer


class BrokerAwayError(Exception):
    """The broker refuses, or does not answer in time; in words, why."""


def lengths() -> dict[str, int]:
    """Return {queue: tasks that wait in it}.

    Raises:
        BrokerAwayError: the broker cannot say.
    """
    # Any: which errors it has depends on the transport.
    broker: Any = current_app.connection_for_read(connect_timeout=TIMEOUT)
    try:
        return within(TIMEOUT, partial(_lengths, broker))
    except TimeoutError:
        raise BrokerAwayError(f"no answer in {TIMEOUT:g} seconds") from None
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
