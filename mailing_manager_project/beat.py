"""Beat's scheduler: reads the schedule from the database and leaves heartbeats."""

from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from django.db import InterfaceError, OperationalError
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from mailing_manager_project.postgres_limits import BEAT, limit_statements

HEARTBEAT = 5.0  # seconds between two heartbeats
LONG_AGO = datetime.fromtimestamp(0, UTC)


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

    def setup_schedule(self) -> None:
        """Read the schedule for the first time."""
        # Celery's signal beat_init comes only when the first connection is open.
        limit_statements(BEAT)
        super().setup_schedule()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Queue the tasks that are due, and leave a heartbeat; return seconds to the next tick."""
        if monotonic() >= self._beat_at:
            self._beat_at = monotonic() + HEARTBEAT
            # While the database is away, heartbeats are skipped; the scheduler handles the outage.
            with suppress(OperationalError, InterfaceError):
                self._leave_sign()
        return float(super().tick(*args, **kwargs))

    @staticmethod
    def _leave_sign() -> None:
        # The scheduler is named in the settings, which are read before models can be imported.
        from messages_app.models import Heartbeat
        from toolkit import clock

        Heartbeat.objects.beat("beat", clock.now())

    def schedule_changed(self) -> bool:
        """Tell whether the schedule is to be read again."""
        self._last_timestamp = self._last_timestamp or LONG_AGO
        return bool(super().schedule_changed())
