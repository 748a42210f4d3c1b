"""The clock's schedule, from the database."""

from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from django.db import InterfaceError, OperationalError
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

BEAT = 5.0  # seconds between two heartbeats
LONG_AGO = datetime.fromtimestamp(0, UTC)


class Entry(ModelEntry):
    """A line of the schedule, which another host may have run last, by a clock ahead of ours.

    It is due one interval from now then, and not only once this clock has caught up.
    """

    last_run_at: datetime

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.last_run_at = min(self.last_run_at, self._default_now())


class Scheduler(DatabaseScheduler):
    """Leaves heartbeats; notices the first change too, for the first mailing's start.

    The package's own one compares each change with the one before, and takes it for none where
    there was none: on a new installation, and in the first second after a start.
    """

    Entry = Entry
    _last_timestamp: datetime | None
    _beat_at = 0.0

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Do what is due, and leave a heartbeat; return the seconds until the next tick."""
        if monotonic() >= self._beat_at:
            self._beat_at = monotonic() + BEAT
            # While the database is away, the heartbeats are the least of its worries.
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
