"""The clock's schedule, from the database."""

from datetime import UTC, datetime

from django_celery_beat.schedulers import DatabaseScheduler

LONG_AGO = datetime.fromtimestamp(0, UTC)


class Scheduler(DatabaseScheduler):
    """Notices the first change too, so that the first mailing starts at its second.

    The package's own one compares each change with the one before, and takes it for none where
    there was none: on a new installation, and in the first second after a start.
    """

    _last_timestamp: datetime | None

    def schedule_changed(self) -> bool:
        """Tell whether the schedule is to be read again."""
        self._last_timestamp = self._last_timestamp or LONG_AGO
        return bool(super().schedule_changed())
