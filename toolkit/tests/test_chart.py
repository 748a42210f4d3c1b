from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from toolkit.console.chart import DAY, HOUR, MINUTE, Series, draw, width_of_bars

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
SERIES = [Series("sent", "sent", "part-sent"), Series("failed", "failed", "part-failed")]


@pytest.mark.parametrize(
    ("span", "width"),
    [
        (MINUTE, MINUTE),
        (HOUR, MINUTE),
        (5 * HOUR, 5 * MINUTE),
        (DAY, 15 * MINUTE),
        (3 * DAY, HOUR),
        (10 * DAY, 6 * HOUR),
        (90 * DAY, DAY),
        (400 * DAY, 7 * DAY),
        (9_000 * DAY, 30 * DAY),
    ],
)
def test_bars_are_as_fine_as_can_be_told_apart(span: timedelta, width: timedelta) -> None:
    assert width_of_bars(NOON, NOON + span) == width


def test_a_bar_is_as_high_as_its_numbers_and_says_them() -> None:
    points = {NOON: {"sent": 500, "failed": 250}, NOON + 2 * MINUTE: {"sent": 1_000, "other": 9}}
    chart = draw(
        points,
        SERIES,
        begins_at=NOON,
        ends_at=NOON + 3 * MINUTE,
        width=MINUTE,
        title="Messages a minute",
    )
    assert '<rect class="part-sent" x="0.1" width="0.8" y="50.00" height="50.00"/>' in chart
    assert '<rect class="part-failed" x="0.1" width="0.8" y="25.00" height="25.00"/>' in chart
    assert '<rect class="part-sent" x="2.1" width="0.8" y="0.00" height="100.00"/>' in chart
    assert "<title>2026-07-01 12:00: 500 sent, 250 failed</title>" in chart
    assert "sent <b>1,500</b>" in chart
    assert '<th scope="row">2026-07-01 12:02</th><td>1,000</td><td>0</td>' in chart
    assert "12:01" not in chart.partition("<table>")[2]  # where nothing happened


def test_what_is_not_nothing_can_be_seen() -> None:
    points = {NOON: {"sent": 1_000_000, "failed": 1}}
    chart = draw(points, SERIES, begins_at=NOON, ends_at=NOON + MINUTE, width=MINUTE, title="")
    assert 'class="part-failed" x="0.1" width="0.8" y="32.53" height="0.80"' in chart


def test_a_day_begins_at_midnight_of_whoever_reads() -> None:
    points = {NOON.replace(hour=22): {"sent": 3}}
    with timezone.override(ZoneInfo("Europe/Moscow")):
        chart = draw(points, SERIES, begins_at=NOON, ends_at=NOON + DAY, width=DAY, title="")
    assert "<title>2026-07-02: 3 sent</title>" in chart
