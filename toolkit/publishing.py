"""Queues tasks in the broker, and waits for it BROKER_TIMEOUT seconds at most.

A broker that is down refuses at once, but one that hangs would block a web request for a minute.
So each task is published by a thread of its own. Nothing is lost if it is not queued, because the
next tick finds what is due.
"""

import logging
from concurrent.futures import Future
from functools import partial

from celery import current_app
from kombu.exceptions import OperationalError

from toolkit.patience import begin

BROKER_TIMEOUT = 0.7  # seconds
# Seconds until a queued task expires, so that queues do not grow without limit. It is much longer
# than needed, because the clocks of publisher and worker may differ by minutes.
TASK_LIFE = 300

logger = logging.getLogger(__name__)

_hanging: "set[Future[None]]" = set()


def publish(task: str, *args: int) -> bool:
    """Queue a task by its name. Returns False if the broker did not take it, which is logged."""
    if _hanging:
        _leave(task, args, "the broker hangs")
        return False
    publication = begin(partial(_publish, task, args))
    try:
        publication.result(BROKER_TIMEOUT)
    except TimeoutError:
        _hanging.add(publication)
        publication.add_done_callback(_hanging.discard)
        _leave(task, args, "the broker does not answer")
        return False
    except OperationalError as error:
        _leave(task, args, f"no broker ({error})")
        return False
    return True


def _leave(task: str, args: tuple[int, ...], reason: str) -> None:
    cause = OperationalError(reason)  # of which the log has one line
    logger.warning("%s%s waits for the next tick: %s.", task, args, reason, extra={"cause": cause})


def _publish(task: str, args: tuple[int, ...]) -> None:
    current_app.send_task(task, args, expires=TASK_LIFE)
