"""Charts: stacked bars over time, drawn on the server as SVG, with the same as a table.

Only the bars are SVG, which stretches; what is written beside them is HTML, so that it can be read
on a phone as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, log10

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from toolkit.console.labels import format_minute
from toolkit.console.numbers import number

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WIDTHS = (MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY)
MOST_BARS = 120
LEAST_BARS = 12  # A few minutes do not fill the whole width.
TICKS = 4  # times written below the bars
HEIGHT = 100.0  # of the drawing, in its own units

Points = Mapping[datetime, Mapping[str, int]]  # {a moment: {series: number}}


@dataclass(frozen=True)
class Series:
    """One kind of what is counted: its key in the points, its name, and its class of style."""

    key: str
    name: str
    style: str


def width_of_bars(since: datetime, until: datetime) -> timedelta:
    """Return the shortest time for one bar with which there are not too many."""
    return next((w for w in WIDTHS if (until - since) / w < MOST_BARS), WIDTHS[-1])


def draw(
    points: Points,
    series: Sequence[Series],
    *,
    begins_at: datetime,
    ends_at: datetime,
    width: timedelta,
    title: str,
    name: str = "chart",
) -> SafeString:
    """Return a chart of what was counted between two moments, each bar of the same time.

    `name` is used in ids, so that a page can have several.
    """
    bars = _bars(points, series, begins_at, ends_at, width)
    top = _nice_top(max((sum(counts) for _, counts in bars), default=0))
    context = {
        "name": name,
        "title": title,
        "series": [
            {"name": each.name, "style": each.style, "total": number(sum(c[i] for _, c in bars))}
            for i, each in enumerate(series)
        ],
        "bars": [_drawn(place, bar, series, top, width) for place, bar in enumerate(bars)],
        "number": len(bars),
        "scale": [number(top), number(top / 2), "0"],
        "times": [_time(bars[place][0], width) for place in _ticks(len(bars))],
        "table": {
            "headers": [each.name for each in series],
            "rows": [
                [_time(at, width, is_whole=True), *map(number, counts)]
                for at, counts in reversed(bars)
                if any(counts)
            ],
        },
    }
    return render_to_string("admin/console/chart.html", context)


def _bars(
    points: Points, series: Sequence[Series], since: datetime, until: datetime, width: timedelta
) -> list[tuple[datetime, list[int]]]:
    """Return [(when a bar begins, its numbers)], also of bars in which nothing happened."""
    first = _begin(since, width)
    length = max(LEAST_BARS, ceil((until - first) / width))
    bars = [(first + place * width, [0] * len(series)) for place in range(length)]
    for at, counts in points.items():
        place = (at - first) // width
        if 0 <= place < length:
            for i, each in enumerate(series):
                bars[place][1][i] += counts.get(each.key, 0)
    return bars


def _begin(moment: datetime, width: timedelta) -> datetime:
    """Return when the bar began that a moment lies in; days begin at midnight where one reads."""
    local = timezone.localtime(moment)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if width >= DAY else midnight + (local - midnight) // width * width


def _nice_top(most: int) -> int:
    """Return a round number that is not less."""
    if most <= 4:
        return 4
    magnitude = 10 ** int(log10(most))
    return next(int(f * magnitude) for f in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if f * magnitude >= most)


def _drawn(
    place: int,
    bar: tuple[datetime, list[int]],
    series: Sequence[Series],
    top: int,
    width: timedelta,
) -> dict[str, object]:
    """Return a bar as rectangles that stand on each other, and in words."""
    at, counts = bar
    foot, parts = HEIGHT, []
    for each, count in zip(series, counts, strict=True):
        # What is not nothing can be seen.
        high = max(HEIGHT * count / top, 0.8) if count else 0.0
        foot -= high
        if count:
            parts.append({"style": each.style, "y": f"{foot:.2f}", "height": f"{high:.2f}"})
    named = [f"{number(n)} {each.name}" for each, n in zip(series, counts, strict=True) if n]
    said = f"{_time(at, width, is_whole=True)}: {', '.join(named)}"
    return {"x": f"{place + 0.1:.1f}", "parts": parts, "said": said}


def _ticks(length: int) -> list[int]:
    """Return the places of the bars whose times are written."""
    return [length * tick // TICKS for tick in range(TICKS)]


def _time(at: datetime, width: timedelta, *, is_whole: bool = False) -> str:
    """Return when a bar begins, as short as it is clear."""
    local = timezone.localtime(at)
    if width >= DAY:
        return format_minute(at).split(" ")[0]
    return format_minute(at) if is_whole or width >= 6 * HOUR else f"{local:%H:%M}"
