"""What is left of logins: sessions that have ended, and failures that do not count any more."""

from datetime import datetime

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.sessions.models import Session

from toolkit.dropping import drop


def drop_ended(*, now: datetime, ends_at: float) -> None:
    """Drop it, until `ends_at` of `monotonic`: there are names and addresses of people in it."""
    drop(Session.objects.filter(expire_date__lt=now).order_by("expire_date"), ends_at=ends_at)
    forgotten = now - settings.AXES_COOLOFF_TIME
    drop(AccessAttempt.objects.filter(attempt_time__lt=forgotten), ends_at=ends_at)
