"""Finds programs that look alive and are not: a worker that stands still keeps its process.

What they do leaves heartbeats in the database (Heartbeat). One whose heartbeats stop while nothing
else explains it is restarted.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from threading import Thread
from time import monotonic, sleep

from django.conf import settings
from django.db import Error, connections

from mailing_manager_project.launcher.broker import Broker

SHORTEST_STALL = timedelta(minutes=5)
# The longest that a healthy task is silent: a delivery works under one lease of six requests'
# time, and waits up to one more request for its last answers.
REQUESTS_OF_A_TASK = 7
LOOK_INTERVAL = 10.0  # seconds
FRESH = timedelta(minutes=2)  # for a sign of a tick that comes every minute
# The programs whose work leaves signs, and under which name.
SIGNS = {"beat": "beat", "mailings": "start_mailing", "messages": "send_message"}

logger = logging.getLogger("watchdog")


def stall_timeout() -> timedelta:
    """Return for how long a program may be silent: longer than any task takes."""
    request = timedelta(seconds=settings.MESSAGE_SENDER_TIMEOUT)
    return max(SHORTEST_STALL, FRESH + REQUESTS_OF_A_TASK * request)


class Watchdog:
    """Looks at the heartbeats from time to time, in a thread of its own."""

    def __init__(
        self, broker: Broker, restart: Callable[[str], None], *, stall_timeout: timedelta
    ) -> None:
        """Prepare; `restart` is called with the name of a program that stands still.

        A program stands still when its heartbeat is older than FRESH for `stall_timeout`.
        """
        self._broker = broker
        self._restart = restart
        self._stall_timeout = stall_timeout.total_seconds()
        self._well_at = dict.fromkeys(SIGNS, monotonic())

    def start(self) -> None:
        """Begin to watch."""
        Thread(target=self._watch, daemon=True).start()

    def look(self) -> None:
        """Look once, and restart what has stood still for too long."""
        ages = self._ages()
        for name, sign in SIGNS.items():
            if ages is None or ages.get(sign, FRESH) < FRESH or self._is_excused(name, ages):
                self._well_at[name] = monotonic()
            elif monotonic() - self._well_at[name] > self._stall_timeout:
                self._well_at[name] = monotonic()
                self._restart(name)

    def _is_excused(self, name: str, ages: Mapping[str, timedelta]) -> bool:
        """Tell whether there is no clock that tells it to work, or no broker to hear it by."""
        return name != "beat" and (ages.get("beat", FRESH) >= FRESH or not self._broker.answers())

    def _ages(self) -> dict[str, timedelta] | None:
        """Return how old each heartbeat is; None when the database is not there.

        An operator may have switched a tick off, or made it rare. Its sign then counts as fresh.
        """
        # Models can be imported only once Django is set up.
        from django_celery_beat.models import PeriodicTask

        from messages_app.sending.health import component_health
        from toolkit import clock

        try:
            signs = component_health(clock.now())
            ages = {sign.name: sign.age for sign in signs if sign.age is not None}
            ticks = PeriodicTask.objects.filter(enabled=True).exclude(interval=None)
            often = {tick.task for tick in ticks if tick.schedule.run_every < FRESH}
            rare = {SIGNS[name] for name in SIGNS if name != "beat"} - often
            return ages | dict.fromkeys(rare, timedelta())
        except Error:
            return None
        finally:
            connections.close_all()

    def _watch(self) -> None:
        while True:
            sleep(LOOK_INTERVAL)
            try:
                self.look()
            except Exception:
                logger.exception("The watchdog could not look.")
