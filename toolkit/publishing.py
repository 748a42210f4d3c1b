"""Putting tasks into the broker's queues without ever waiting long for it.

A broker that is down refuses at once, but one that hangs would keep a web request for a minute.
So each task is published by a thread of its own, and whoever wants it published waits only so
long: nothing is lost if it does not get through, because the next tick finds what is due.
"""

import logging
from concurrent.futures import Future
from threading import Thread

from celery import current_app
from kombu.exceptions import OperationalError

BROKER_TIMEOUT = 0.7  # seconds
# Counted by the clocks of two hosts, which may differ: it only keeps queues from piling up.
TASK_LIFE = 300  # seconds

logger = logging.getLogger(__name__)

_hanging: "set[Future[None]]" = set()


def publish(task: str, *args: int) -> bool:
    """Queue a task by its name; tell whether the broker took it.

    If it did not, that is logged, and the next tick makes up for it.
    """
    if _hanging:
        logger.warning("%s%s waits for the next tick: the broker hangs.", task, args)
        return False
    publication: Future[None] = Future()
    Thread(target=_publish, args=[publication, task, args], daemon=True).start()
    try:
        publication.result(BROKER_TIMEOUT)
    except TimeoutError:
        _hanging.add(publication)
        publication.add_done_callback(_hanging.discard)
        logger.warning("%s%s waits for the next tick: the broker does not answer.", task, args)
        return False
    except OperationalError as error:
        logger.warning("%s%s waits for the next tick: no broker (%s).", task, args, error)
        return False
    return True


def _publish(publication: "Future[None]", task: str, args: tuple[int, ...]) -> None:
    try:
        current_app.send_task(task, args, expires=TASK_LIFE)
    except BaseException as error:
        # Whoever waits is the one to handle it.
        publication.set_exception(error)
    else:
        publication.set_result(None)
