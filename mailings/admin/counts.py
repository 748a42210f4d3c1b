"""Counts of a mailing's messages, as bars and as tables."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import cast

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from mailings.admin import labels
from mailings.models import Mailing
from mailings.stats import mailing_stats

# A message's status, its name in the console, and its colour in a bar.
PARTS = (
    ("success", "sent", "bg-green-500"),
    ("fail", "failed", "bg-red-500"),
    ("pending", "pending", "bg-base-300 dark:bg-base-600"),
)

ZONES_SHOWN = 10


def counts_of(mailings: Iterable[Mailing]) -> list[dict[str, int]]:
    """Return each mailing's {status: number of messages} with "total", in at most one query."""
    return [cast(dict[str, int], stats["stats"]) for stats in mailing_stats(mailings)]


def parts(counts: Mapping[str, int]) -> list[dict[str, str]]:
    """Return counts as the parts of a bar, with their share in percent."""
    total = counts["total"] or 1
    return [
        {
            "status": status,
            "name": name,
            "colour": colour,
            "number": f"{counts[status]:,}",
            "percent": f"{100 * counts[status] / total:.2f}",
        }
        for status, name, colour in PARTS
    ]


def bar(counts: Mapping[str, int]) -> SafeString:
    """Return counts as a bar with the numbers below it."""
    named = [f"{counts[status]:,} {name}" for status, name, _ in PARTS if counts[status]]
    return render_to_string(
        "admin/mailings/mailing/progress.html",
        {"parts": parts(counts), "in_numbers": " · ".join(named) or "no messages yet"},
    )


def zone_table(
    mailing: Mailing, zones: Mapping[str, Mapping[str, int]], now: datetime
) -> dict[str, list[str] | list[list[str]]]:
    """Return counts by time zone as a table of the first ZONES_SHOWN zones."""
    columns = [status for status, _, _ in PARTS] + ["total"]
    rows = [
        [
            zone,
            labels.window_state(mailing, zone, now),
            *(f"{counts[column]:,}" for column in columns),
        ]
        for zone, counts in list(zones.items())[:ZONES_SHOWN]
    ]
    headers = ["Time zone", "Window", *(name for _, name, _ in PARTS), "All"]
    return {"headers": headers, "rows": rows}
