"""Which mailings answer to which phrase."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from pytest_django import Settings

from mailings.models import Mailing

pytestmark = pytest.mark.django_db

MakeMailing = Callable[..., Mailing]

HOUR = timedelta(hours=1)
INSTANT = timedelta(microseconds=1)


def phrases(now: datetime) -> set[str]:
    """Return the phrases that the only mailing there is answers to.

    Two of them are written by hand once more, and have to say the same.
    """
    known = [mailing.snapshot(now) for mailing in Mailing.objects.all()]
    assert Mailing.objects.is_any_to_start(now) is Mailing.objects.to_start(now).exists()
    running = Mailing.objects.running(now).values_list("pk", flat=True)
    assert Mailing.objects.still_running(known, now) == list(running)
    return {
        name
        for name in ("to_start", "running", "to_plan", "to_close")
        if getattr(Mailing.objects, name)(now).exists()
    }


@pytest.mark.parametrize(
    ("status", "before", "at_start", "at_last", "at_stop"),
    [
        ("scheduled", set(), {"to_start"}, {"to_start"}, {"to_close"}),
        ("running", set(), {"running", "to_plan"}, {"running", "to_plan"}, {"to_close"}),
        ("paused", set(), set(), set(), {"to_close"}),
        ("cancelled", {"to_close"}, {"to_close"}, {"to_close"}, {"to_close"}),
        ("finished", set(), set(), set(), set()),
    ],
)
def test_a_status_means_something_else_before_during_and_after_its_time(
    make_mailing: MakeMailing,
    now: datetime,
    status: str,
    before: set[str],
    at_start: set[str],
    at_last: set[str],
    at_stop: set[str],
) -> None:
    make_mailing(status=status, start_time=now, stop_time=now + HOUR)
    assert phrases(now - INSTANT) == before
    assert phrases(now) == at_start
    assert phrases(now + HOUR - INSTANT) == at_last
    assert phrases(now + HOUR) == at_stop


def test_a_running_one_is_planned_again_after_the_repeat_timeout(
    make_mailing: MakeMailing, now: datetime, settings: Settings
) -> None:
    settings.MAILING_REPEAT_TIMEOUT = timedelta(minutes=20)
    make_mailing(last_run_time=now - timedelta(minutes=20))
    assert phrases(now - INSTANT) == {"running"}
    assert phrases(now) == {"running", "to_plan"}


def test_a_closed_one_is_not_to_be_finished(make_mailing: MakeMailing, now: datetime) -> None:
    make_mailing(status="cancelled", success_count=0, fail_count=0)
    assert phrases(now) == set()


def test_each_mailing_is_either_open_or_closed(make_mailing: MakeMailing) -> None:
    running, closed = make_mailing(), make_mailing(success_count=0, fail_count=0)
    assert list(Mailing.objects.open()) == [running]
    assert list(Mailing.objects.closed()) == [closed]


def test_an_edited_or_deleted_one_is_not_the_one_that_was_known(
    make_mailing: MakeMailing, now: datetime
) -> None:
    same, edited, deleted = mailings = [make_mailing() for _ in range(3)]
    known = [mailing.snapshot(now) for mailing in mailings]
    edited.save()
    Mailing.objects.filter(pk=deleted.pk).update(deleted_at=now)
    assert Mailing.objects.still_running(known, now) == [same.pk]
    assert not Mailing.objects.is_any_to_start(now)
    make_mailing(status="scheduled", deleted_at=now)
    assert not Mailing.objects.is_any_to_start(now)
