"""The forecast: how many go out in time, how many do not and why, and which rate would do."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailings.forecast import Forecast, forecast
from toolkit.sending_hours import Window

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
DAYTIME = Window(time(9), time(21))


def expect(zones: dict[str, int], **given: Any) -> Forecast:
    values = {"window": None, "begins_at": NOON, "stops_at": NOON + HOUR, "rate": 10.0}
    return forecast(zones, **{**values, **given})


def test_all_that_fit_into_the_time_go_out() -> None:
    found = expect({"UTC": 18_000})

    assert found == Forecast(18_000, 0, 0, NOON + HOUR / 2, 5.0)


def test_what_the_time_is_too_short_for_is_too_late() -> None:
    found = expect({"UTC": 30_000, "Europe/Moscow": 42_000})

    assert found == Forecast(36_000, 36_000, 0, NOON + HOUR, 20.0)


def test_what_other_mailings_have_waiting_goes_first() -> None:
    found = expect({"UTC": 18_000}, ahead=18_000)

    assert found == Forecast(18_000, 0, 0, NOON + HOUR, 10.0)
    assert expect({"UTC": 18_000}, ahead=36_000).deliverable == 0


def test_a_zone_whose_window_is_shut_all_the_time_is_shut_out() -> None:
    """At noon in UTC it is 22:00 in Vladivostok, and 15:00 in Moscow."""
    found = expect({"Europe/Moscow": 600, "Asia/Vladivostok": 400}, window=DAYTIME)

    assert found == Forecast(600, 0, 400, NOON + timedelta(minutes=1), 0.17)


def test_a_window_that_opens_later_is_waited_for() -> None:
    """It is 22:00 in Vladivostok; the window opens there at 23:00 in UTC."""
    found = expect({"Asia/Vladivostok": 600}, window=DAYTIME, stops_at=NOON + DAY)

    assert found.deliverable == 600
    assert found.finishes_at == NOON + 11 * HOUR + timedelta(minutes=1)


def test_what_a_window_cuts_off_goes_on_the_next_day() -> None:
    window = Window(time(12), time(13))  # an hour a day at ten a second: 36,000
    found = expect({"UTC": 90_000}, window=window, stops_at=NOON + 10 * DAY)

    assert found.deliverable == 90_000
    assert found.finishes_at == NOON + 2 * DAY + HOUR / 2
    assert found.rate_needed == 2.5


def test_weeks_that_are_not_followed_by_the_hour_go_on_as_before() -> None:
    window = Window(time(12), time(13))
    found = expect({"UTC": 36_000 * 20}, window=window, stops_at=NOON + 28 * DAY)

    assert (found.deliverable, found.too_late) == (36_000 * 20, 0)
    assert found.finishes_at
    assert NOON + 19 * DAY <= found.finishes_at <= NOON + 20 * DAY
    assert expect({"UTC": 36_000 * 56}, window=window, stops_at=NOON + 28 * DAY).too_late == (
        36_000 * 28
    )


def test_without_a_stop_time_all_go_out_sooner_or_later() -> None:
    found = expect({"UTC": 10_000_000}, stops_at=None, rate=1)

    assert (found.deliverable, found.too_late, found.rate_needed) == (10_000_000, 0, None)
    assert found.finishes_at == NOON + timedelta(seconds=10_000_000)


@pytest.mark.parametrize("stops_at", [NOON, NOON - HOUR])
def test_after_the_stop_time_nothing_goes_out(stops_at: datetime) -> None:
    assert expect({"UTC": 5}, stops_at=stops_at) == Forecast(0, 5, 0, None, None)


def test_nobody_is_done_at_no_time() -> None:
    assert expect({}) == Forecast(0, 0, 0, None, None)


def test_the_end_of_the_calendar_is_no_error() -> None:
    last = datetime.max.replace(tzinfo=UTC)
    for window in (None, DAYTIME):
        for stops_at in (None, last):
            found = expect(
                {"UTC": 10**9}, window=window, begins_at=last - HOUR, stops_at=stops_at, rate=0.01
            )
            assert found.deliverable + found.too_late + found.shut_out == 10**9


ZONES = ("UTC", "Europe/Moscow", "Asia/Vladivostok", "America/New_York", "Asia/Kolkata")
hours = st.times(timezones=st.none()).map(lambda at: at.replace(microsecond=0))


@given(
    zones=st.dictionaries(st.sampled_from(ZONES), st.integers(1, 100_000)),
    window=st.none() | st.tuples(hours, hours).filter(lambda h: h[0] != h[1]),
    minutes=st.integers(1, 5_000),
    rate=st.floats(0.01, 1_000),
    ahead=st.integers(0, 50_000),
)
def test_the_numbers_add_up_and_the_rate_that_is_needed_does(
    zones: dict[str, int],
    window: tuple[time, time] | None,
    minutes: int,
    rate: float,
    ahead: int,
) -> None:
    given = {
        "window": window and Window(*window),
        "stops_at": NOON + timedelta(minutes=minutes),
        "ahead": ahead,
    }

    found = expect(zones, rate=rate, **given)

    assert found.deliverable + found.too_late + found.shut_out == sum(zones.values())
    assert min(found.deliverable, found.too_late, found.shut_out) >= 0
    assert (found.finishes_at is None) == (found.deliverable == 0) or found.deliverable == 0
    assert expect(zones, rate=2 * rate, **given).deliverable >= found.deliverable
    if found.rate_needed:
        assert expect(zones, rate=found.rate_needed, **given).too_late == 0
        if found.too_late:
            assert found.rate_needed > rate
