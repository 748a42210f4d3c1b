"""Windows open and shut by the clock on the wall, whatever is done to it."""

from datetime import UTC, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import time_zones
from toolkit.sending_hours import Window, next_closing, next_opening

MINUTE = timedelta(minutes=1)
WEEK = 7 * 24 * 60  # minutes
DAYTIME = Window(time(9), time(21))
NIGHT = Window(time(22), time(6))


def at(moment: str) -> datetime:
    return datetime.fromisoformat(moment)


def hours(written: str) -> Window:
    start, end = written.split("-")
    return Window(time.fromisoformat(start), time.fromisoformat(end))


@pytest.mark.parametrize(
    ("zone", "moment", "expected"),
    [
        ("UTC", "2026-07-01T08:59:59.999999Z", "2026-07-01T09:00Z"),
        ("UTC", "2026-07-01T09:00Z", "2026-07-01T09:00Z"),
        ("UTC", "2026-07-01T20:59:59.999999Z", "2026-07-01T20:59:59.999999Z"),
        ("UTC", "2026-07-01T21:00Z", "2026-07-02T09:00Z"),
        ("Europe/Moscow", "2026-07-01T05:00Z", "2026-07-01T06:00Z"),
        ("Asia/Kathmandu", "2026-07-01T00:00Z", "2026-07-01T03:15Z"),
        ("Pacific/Marquesas", "2026-07-01T12:00Z", "2026-07-01T18:30Z"),
        ("Pacific/Kiritimati", "2026-07-01T07:00Z", "2026-07-01T19:00Z"),
    ],
)
def test_a_window_opens_when_the_client_s_own_clock_says_so(
    zone: str, moment: str, expected: str
) -> None:
    assert next_opening(DAYTIME, zone, at(moment)) == at(expected)


@pytest.mark.parametrize(
    ("moment", "opens", "shuts"),
    [
        ("2026-07-01T21:59Z", "2026-07-01T22:00Z", "2026-07-02T06:00Z"),
        ("2026-07-01T23:59Z", "2026-07-01T23:59Z", "2026-07-02T06:00Z"),
        ("2026-07-02T00:00Z", "2026-07-02T00:00Z", "2026-07-02T06:00Z"),
        ("2026-07-02T06:00Z", "2026-07-02T22:00Z", "2026-07-03T06:00Z"),
    ],
)
def test_a_window_that_ends_before_it_starts_lasts_over_midnight(
    moment: str, opens: str, shuts: str
) -> None:
    opened = next_opening(NIGHT, "UTC", at(moment))
    assert (opened, next_closing(NIGHT, "UTC", opened)) == (at(opens), at(shuts))


def test_a_window_until_midnight_shuts_at_midnight() -> None:
    evening = hours("18:00-00:00")
    assert next_closing(evening, "Asia/Tokyo", at("2026-07-01T20:00+09:00")) == at(
        "2026-07-01T15:00Z"
    )


def test_a_window_is_told_in_utc_whatever_it_was_asked_in() -> None:
    opened = next_opening(DAYTIME, "Europe/Moscow", at("2026-07-01T10:00+05:00"))
    assert (opened.tzinfo, opened.isoformat()) == (UTC, "2026-07-01T06:00:00+00:00")


@pytest.mark.parametrize(
    ("window", "opens", "shuts"),
    [
        ("01:30-03:30", "2026-03-29T00:30Z", "2026-03-29T01:30Z"),  # an hour shorter
        ("02:30-04:00", "2026-03-29T01:00Z", "2026-03-29T02:00Z"),  # opens as the clock is set
        ("01:00-02:30", "2026-03-29T00:00Z", "2026-03-29T01:00Z"),  # shuts as the clock is set
        ("02:10-02:50", "2026-03-30T00:10Z", "2026-03-30T00:50Z"),  # not that day
        ("02:00-03:00", "2026-03-30T00:00Z", "2026-03-30T01:00Z"),  # not that day either
    ],
)
def test_hours_that_the_clock_leaves_out_never_are(window: str, opens: str, shuts: str) -> None:
    """In Berlin, 02:00 was followed by 03:00."""
    opened = next_opening(hours(window), "Europe/Berlin", at("2026-03-29T00:00+01:00"))
    assert opened == at(opens)
    assert next_closing(hours(window), "Europe/Berlin", opened) == at(shuts)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ("01:30-03:30", ["2026-10-24T23:30Z", "2026-10-25T02:30Z"]),  # an hour longer
        ("02:10-02:50", ["2026-10-25T00:10Z", "2026-10-25T00:50Z"]),
        ("02:30-03:30", ["2026-10-25T00:30Z", "2026-10-25T01:00Z"]),  # until the clock is set
    ],
)
def test_hours_that_the_clock_repeats_count_by_what_it_reads(
    window: str, expected: list[str]
) -> None:
    """In Berlin, the first 02:59 was followed by the second 02:00."""
    opened = next_opening(hours(window), "Europe/Berlin", at("2026-10-25T00:00+02:00"))
    shut = next_closing(hours(window), "Europe/Berlin", opened)
    assert [opened, shut] == [at(moment) for moment in expected]


@pytest.mark.parametrize("window", ["02:10-02:50", "02:30-03:30"])
def test_a_window_in_repeated_hours_opens_twice(window: str) -> None:
    first = next_opening(hours(window), "Europe/Berlin", at("2026-10-25T00:00+02:00"))
    shut = next_closing(hours(window), "Europe/Berlin", first)
    assert next_opening(hours(window), "Europe/Berlin", shut) == first + timedelta(hours=1)


def test_a_clock_that_is_set_by_half_an_hour_is_read_right() -> None:
    """On Lord Howe Island, 01:59 was followed by 02:30, and 01:59 by the second 01:30."""
    window = hours("01:45-02:15")
    spring = next_opening(window, "Australia/Lord_Howe", at("2026-10-03T15:00Z"))
    assert (spring, next_closing(window, "Australia/Lord_Howe", spring)) == (
        at("2026-10-03T15:15Z"),
        at("2026-10-03T15:30Z"),
    )
    assert next_opening(hours("02:00-02:30"), "Australia/Lord_Howe", spring) == at(
        "2026-10-04T15:00Z"
    )
    autumn = next_opening(window, "Australia/Lord_Howe", at("2026-04-04T14:00Z"))
    assert (autumn, next_closing(window, "Australia/Lord_Howe", autumn)) == (
        at("2026-04-04T14:45Z"),
        at("2026-04-04T15:00Z"),
    )


def test_a_day_that_an_island_skips_has_no_window() -> None:
    """In Apia, the 29th of December 2011 was followed by the 31st."""
    evening = next_closing(DAYTIME, "Pacific/Apia", at("2011-12-29T12:00-10:00"))
    assert evening == at("2011-12-29T21:00-10:00")
    assert next_opening(DAYTIME, "Pacific/Apia", evening) == at("2011-12-31T09:00+14:00")
    night = next_opening(NIGHT, "Pacific/Apia", at("2011-12-29T22:00-10:00"))
    assert next_closing(NIGHT, "Pacific/Apia", night) == at("2011-12-31T06:00+14:00")


def test_a_clock_is_set_between_two_microseconds() -> None:
    moment = at("2026-03-29T01:59:59.999999+01:00")
    assert next_opening(hours("02:30-04:00"), "Europe/Berlin", moment) == at("2026-03-29T01:00Z")


@pytest.mark.parametrize("zone", ["Nowhere/Land", "America", "../etc/passwd", "/etc", "\0", ""])
def test_a_zone_that_is_not_known_is_taken_for_utc(zone: str) -> None:
    moment = at("2026-07-01T03:00Z")
    assert next_opening(DAYTIME, zone, moment) == next_opening(DAYTIME, "UTC", moment)
    assert next_closing(NIGHT, zone, moment) == next_closing(NIGHT, "UTC", moment)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00Z", "9999-12-31T23:59:59.999999Z"])
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_nothing_is_waited_for_where_the_calendar_ends(zone: str, moment: str) -> None:
    for window in (DAYTIME, NIGHT):
        assert abs(next_opening(window, zone, at(moment)) - at(moment)) < timedelta(days=1)


def test_a_window_opens_in_every_zone_within_a_day() -> None:
    moment = at("2026-07-01T12:00Z")
    for zone in time_zones.names():
        opened = next_opening(DAYTIME, zone, moment)
        assert moment <= opened < moment + timedelta(days=1), zone
        assert DAYTIME.includes(opened.astimezone(ZoneInfo(zone)).time()), zone


# Weeks in the middle of which clocks are set; the last two are weeks like any other.
WEEKS = {
    ("Europe/Berlin", "2026-03-26"),
    ("Europe/Berlin", "2026-10-22"),
    ("Europe/Dublin", "2026-10-22"),
    ("Europe/Moscow", "2014-10-23"),  # set back for good
    ("America/New_York", "2026-03-05"),
    ("America/St_Johns", "2026-10-29"),  # 3½ hours behind
    ("America/Santiago", "2026-09-03"),  # at midnight
    ("Asia/Beirut", "2026-10-22"),  # into the day before
    ("Asia/Pyongyang", "2018-05-02"),  # by half an hour, for good
    ("Africa/Casablanca", "2026-02-12"),
    ("Antarctica/Troll", "2026-03-26"),  # by two hours
    ("Australia/Lord_Howe", "2026-04-02"),  # by half an hour
    ("Australia/Lord_Howe", "2026-10-01"),
    ("Pacific/Chatham", "2026-09-24"),  # at a quarter to
    ("Pacific/Apia", "2011-12-27"),  # by a day
    ("America/Anchorage", "1983-10-28"),  # by two hours
    ("Asia/Kathmandu", "2026-07-01"),
    ("UTC", "2026-07-01"),
}
minutes = st.integers(0, 24 * 60 - 1)
weeks = st.sampled_from(sorted(WEEKS))


@cache
def readings(zone: str, day: str) -> list[time]:
    """Return what the clock reads at every minute of a week."""
    start = at(f"{day}T00:00Z")
    return [(start + n * MINUTE).astimezone(ZoneInfo(zone)).time() for n in range(WEEK)]


def is_inside(reading: time, start: int, end: int) -> bool:
    """Tell, minute by minute around the clock, whether a reading lies between two others."""
    minute = 60 * reading.hour + reading.minute
    return (minute - start) % 1440 < (end - start) % 1440


@settings(max_examples=500, deadline=None)
@given(week=weeks, start=minutes, length=st.integers(1, 24 * 60 - 1), asked=st.integers(0, 5760))
def test_a_window_opens_and_shuts_at_the_minutes_that_the_clock_reads(
    week: tuple[str, str], start: int, length: int, asked: int
) -> None:
    zone, day = week
    end = (start + length) % 1440
    window = Window(time(*divmod(start, 60)), time(*divmod(end, 60)))
    inside = [is_inside(reading, start, end) for reading in readings(zone, day)]
    opens = inside.index(True, asked)
    shuts = inside.index(False, opens)
    midnight = at(f"{day}T00:00Z")
    assert next_opening(window, zone, midnight + asked * MINUTE) == midnight + opens * MINUTE
    assert next_closing(window, zone, midnight + opens * MINUTE) == midnight + shuts * MINUTE


@settings(max_examples=200, deadline=None)
@given(
    zone=st.sampled_from(sorted(time_zones.names())),
    start=st.times(),
    end=st.times(),
    days=st.integers(-25_000, 47_000),  # from 1901 to 2098
    second=st.integers(0, 86_399),
)
def test_what_is_told_is_open_at_once_and_shut_an_instant_before_or_after(
    zone: str, start: time, end: time, days: int, second: int
) -> None:
    window = Window(start, end) if start != end else DAYTIME
    moment = datetime.fromtimestamp(86_400 * days + second, UTC)
    instant = timedelta.resolution

    def is_open(moment: datetime) -> bool:
        return window.includes(moment.astimezone(ZoneInfo(zone)).time())

    opened = next_opening(window, zone, moment)
    shut = next_closing(window, zone, opened)
    assert moment <= opened < shut
    assert is_open(opened)
    assert is_open(shut - instant)
    assert not is_open(shut)
    assert opened == moment or not is_open(opened - instant)
