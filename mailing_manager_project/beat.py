"""Beat's scheduler: reads the schedule from the database and leaves heartbeats.

Whatever the database does, beat waits for it: nobody else starts a mailing.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from signal import SIG_DFL, SIGINT, SIGTERM, signal
from time import monotonic, sleep
from typing import Any

from django.db import InterfaceError, InternalError, OperationalError, ProgrammingError, connection
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from mailing_manager_project.postgres_limits import BEAT, limit_statements
from toolkit.patience import begin

HEARTBEAT = 5.0  # seconds between two heartbeats
LOOK_AGAIN = 1.0  # seconds until a database that failed is asked again
LONG_AGO = datetime.fromtimestamp(0, UTC)
# It is away, or it is not migrated yet. Anything else is a mistake of ours.
WAITED_FOR = (InterfaceError, InternalError, OperationalError, ProgrammingError)

logger = logging.getLogger(__name__)


@contextmanager
def _ending_at_once() -> Iterator[None]:
    """Let a signal end this process at once.

    Celery's handler would save the schedule first, and read it for that: so it would wait, too.
    """
    former = {number: signal(number, SIG_DFL) for number in (SIGINT, SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal(number, handler)


class Entry(ModelEntry):
    """An entry of the schedule; a last run in the future counts as a run now.

    Such a time was written by another host, whose clock is ahead of ours. The entry is then due one
    interval from now, instead of when this clock has caught up (docs/adr/0010-clocks-and-ticks.md).
    """

    last_run_at: datetime

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.last_run_at = min(self.last_run_at, self._default_now())


class Scheduler(DatabaseScheduler):
    """The scheduler of django-celery-beat with heartbeats, and one defect less.

    The package's scheduler compares the time of the last change with the one it has seen before,
    and misses a change if it has seen none: on a new installation, where that is the start of the
    first mailing, and in the first second after a start.
    """

    Entry = Entry
    _last_timestamp: datetime | None
    _beat_at = 0.0
    _lacks_tables = False
    _watching: "Future[None] | None" = None

    def setup_schedule(self) -> None:
        """Read the schedule for the first time, as soon as there is one."""
        # Celery's signal beat_init comes only when the first connection is open.
        limit_statements(BEAT)
        with _ending_at_once():
            while True:
                try:
                    super().setup_schedule()
                except WAITED_FOR as error:
                    self._wait_for_database(error)
                    self._initial_read = True
                    sleep(LOOK_AGAIN)
                else:
                    logger.info("Beat is at work.")
                    return

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Queue the tasks that are due, and leave a heartbeat; return seconds to the next tick."""
        try:
            # Asked first, because the package would log a failure of its own questions each time.
            self.Changes.last_change()
            if monotonic() >= self._beat_at:
                self._beat_at = monotonic() + HEARTBEAT
                self._leave_sign()
                self._watch()
            return float(super().tick(*args, **kwargs))
        except WAITED_FOR as error:
            self._wait_for_database(error)
            return LOOK_AGAIN

    def _wait_for_database(self, error: Exception) -> None:
        """Say why beat does nothing, and have everything read anew once it can go on."""
        self._last_timestamp = LONG_AGO
        connection.close()
        if not isinstance(error, ProgrammingError) and "no such" not in str(error):
            logger.error("Beat waits for the database.", exc_info=error)
        elif not self._lacks_tables:
            self._lacks_tables = True
            reason = str(error).partition("\n")[0]
            logger.error("Beat waits for 'python manage.py migrate': %s.", reason)

    @staticmethod
    def _leave_sign() -> None:
        # The scheduler is named in the settings, which are read before models can be imported.
        from messages_app.models import Heartbeat
        from toolkit import clock

        Heartbeat.objects.beat("beat", clock.now())

    def _watch(self) -> None:
        """Have alerts told, in a thread: a mail server may take its time, and beat has none."""
        # Imported here for the reason above.
        from mailing_manager_project import alerts

        if alerts.is_wanted() and (self._watching is None or self._watching.done()):
            self._watching = begin(alerts.watch_once)

    def schedule_changed(self) -> bool:
        """Tell whether the schedule is to be read again."""
        self._last_timestamp = self._last_timestamp or LONG_AGO
        return bool(super().schedule_changed())
