"""The tasks of webhooks: the tick, and the couriers.

A courier waits for other people's servers, and a plain worker has few processes, which plan and
send as well. So a courier is a thread beside the process's tasks, and its task ends at once.
"""

import logging
from contextvars import copy_context
from functools import partial
from threading import Lock, Thread

from celery import shared_task
from django.db import connections

from toolkit import clock, shutdown
from toolkit.outages import tolerate_database_outage
from toolkit.publishing import publish
from webhooks.delivering import deliver
from webhooks.relaying import relay

MOST_COURIERS = 16  # in one process; each has a connection to the database
WHAT = "Telling webhooks"  # begins what is logged when the database is away

logger = logging.getLogger(__name__)

_lock = Lock()
_couriers: dict[int, Thread] = {}  # by the webhook's id


@shared_task(name="relay_webhooks")
def relay_webhooks() -> None:
    """Make deliveries of what has happened, and call couriers for them (the tick)."""
    with tolerate_database_outage(WHAT):
        relay(now=clock.now())


@shared_task(name="deliver_webhooks")
def deliver_webhooks(webhook_id: int) -> None:
    """Send a courier to a webhook, unless one of this process is on the way.

    With MOST_COURIERS on their way, none is sent: the tick calls again.
    """
    with _lock:
        if webhook_id in _couriers or len(_couriers) >= MOST_COURIERS:
            return
        name = f"courier-{webhook_id}"
        # A daemon: a worker that ends does not wait for receivers, and the call is made again.
        go = partial(copy_context().run, _go, webhook_id)  # Its lines say for what it goes.
        courier = Thread(target=go, name=name, daemon=True)
        _couriers[webhook_id] = courier
    courier.start()


def _go(webhook_id: int) -> None:
    is_more = False
    try:
        with tolerate_database_outage(WHAT):
            is_more = deliver(webhook_id, is_stopping=shutdown.is_requested)
    except Exception:
        # A thread's exception would end nothing but the thread.
        logger.exception("A courier failed.")
    finally:
        connections.close_all()
        with _lock:
            _couriers.pop(webhook_id, None)
    if is_more and not shutdown.is_requested():
        publish("deliver_webhooks", webhook_id)
