"""What is left of logins is dropped."""

from datetime import datetime, timedelta
from math import inf

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from toolkit.access.ended import drop_ended

pytestmark = pytest.mark.django_db


def sessions(number: int, ended_at: datetime) -> None:
    Session.objects.bulk_create(
        Session(session_key=f"{ended_at:%Y}{pk}", session_data="", expire_date=ended_at)
        for pk in range(number)
    )


def test_sessions_that_ended_are_dropped_in_short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.dropping.STEP", 2)
    now = timezone.now()
    sessions(5, now - timedelta(days=400))
    sessions(1, now + timedelta(hours=1))

    drop_ended(now=now, ends_at=-inf)
    assert Session.objects.count() == 4  # one step

    drop_ended(now=now, ends_at=inf)
    assert Session.objects.get().expire_date > now
