"""What a mailing may be, and what the database itself refuses."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from threading import Thread
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from mailings.models import Mailing
from messages_app.models import Lease
from toolkit.sending_hours import Window

MakeMailing = Callable[..., Mailing]

HOUR = timedelta(hours=1)


def build(now: datetime, **fields: Any) -> Mailing:
    return Mailing(**{"start_time": now, "stop_time": now + HOUR, "text": "Hello", **fields})


def errors_of(mailing: Mailing) -> list[str]:
    """Return the names of the fields that validation finds wrong."""
    try:
        mailing.full_clean(validate_constraints=False)
    except ValidationError as error:
        return list(error.message_dict)
    return []


@pytest.mark.parametrize("text", ["Hello", " Hello ", "👋", "x" * 4096])
def test_any_text_will_do(now: datetime, text: str) -> None:
    assert errors_of(build(now, text=text)) == []


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u2003"])
def test_a_text_of_nothing_is_refused(now: datetime, text: str) -> None:
    assert errors_of(build(now, text=text)) == ["text"]


@pytest.mark.parametrize("length", [timedelta(0), -HOUR])
def test_the_stop_time_comes_after_the_start_time(now: datetime, length: timedelta) -> None:
    assert errors_of(build(now, stop_time=now + length)) == ["stop_time"]


@pytest.mark.parametrize("field", ["start_time", "stop_time"])
def test_both_times_are_needed(now: datetime, field: str) -> None:
    assert errors_of(build(now, **{field: None})) == [field]


@pytest.mark.parametrize("filters", [None, [], "", 5, {"city": "Omsk"}])
def test_filters_are_validated(now: datetime, filters: object) -> None:
    assert errors_of(build(now, filters=filters)) == ["filters"]


@pytest.mark.parametrize(
    ("start", "end"),
    [(None, None), (time(9), time(21)), (time(22), time(6)), (time(0), time(23, 59, 59))],
)
def test_a_window_is_any_two_hours_or_none(
    now: datetime, start: time | None, end: time | None
) -> None:
    mailing = build(now, window_start=start, window_end=end)
    assert errors_of(mailing) == []
    assert mailing.window == (Window(start, end) if start and end else None)


@pytest.mark.parametrize(
    ("start", "end", "wrong"),
    [
        (time(9), None, "window_end"),
        (None, time(21), "window_start"),
        (time(0), None, "window_end"),
        (None, time(0), "window_start"),
        (time(9), time(9), "window_end"),
        (time(0), time(0), "window_end"),
    ],
)
def test_half_a_window_and_one_that_is_never_open_are_refused(
    now: datetime, start: time | None, end: time | None, wrong: str
) -> None:
    assert errors_of(build(now, window_start=start, window_end=end)) == [wrong]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        {"stop_time": F("start_time")},
        {"text": ""},
        {"status": "lost"},
        {"window_start": time(9)},
        {"window_end": time(9)},
        {"window_start": time(9), "window_end": time(9)},
    ],
)
def test_the_database_refuses_what_could_never_be_sent(
    make_mailing: MakeMailing, change: dict[str, Any]
) -> None:
    mailing = make_mailing()
    with pytest.raises(IntegrityError), transaction.atomic():
        Mailing.objects.filter(pk=mailing.pk).update(**change)


@pytest.mark.parametrize(
    ("status", "is_ended"),
    [
        ("scheduled", False),
        ("running", False),
        ("paused", False),
        ("finished", True),
        ("cancelled", True),
    ],
)
def test_it_has_ended_when_finished_or_cancelled(status: str, is_ended: bool) -> None:
    stop = datetime(2030, 1, 1, tzinfo=UTC)
    mailing = Mailing(status=status, stop_time=stop)
    assert mailing.is_ended is is_ended
    assert mailing.is_over_at(stop - timedelta(microseconds=1)) is is_ended
    assert mailing.is_over_at(stop) is True


@pytest.mark.django_db
def test_the_newest_comes_first(make_mailing: MakeMailing) -> None:
    first, second = make_mailing(), make_mailing()
    assert list(Mailing.objects.all()) == [second, first]


@pytest.mark.django_db
def test_it_is_called_by_its_number(make_mailing: MakeMailing) -> None:
    mailing = make_mailing()
    assert str(mailing) == f"Mailing {mailing.pk}"


@pytest.mark.postgres  # SQLite has one writer at a time
@pytest.mark.django_db(transaction=True)
def test_who_locks_a_mailing_does_not_stop_those_who_refer_to_it(
    now: datetime, make_mailing: MakeMailing
) -> None:
    """Deliveries go on taking leases while an operator edits."""
    mailing = make_mailing()
    taken: list[Lease] = []

    def take_lease() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        taken.append(Lease.objects.create(token=-7, mailing=mailing, expires_at=now))
        connection.close()

    taking = Thread(target=take_lease)
    with transaction.atomic():
        mailing.lock()
        taking.start()
        taking.join()
    assert [lease.mailing for lease in taken] == [mailing]
