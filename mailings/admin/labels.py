"""Mailings in words, for the pages of the console."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext

from clients.audience import NAMES, as_lists
from mailings.models import Mailing
from mailings.stats import UNKNOWN_ZONE
from toolkit.console.labels import format_minute, join_names, label
from toolkit.console.numbers import moment
from toolkit.sending_hours import Window, next_closing, next_opening

Status = Mailing.Status

COLOURS = {
    Status.DRAFT: "",
    Status.SCHEDULED: "info",
    Status.RUNNING: "success",
    Status.PAUSED: "warning",
    Status.FINISHED: "",
    Status.CANCELLED: "danger",
}


def excerpt(text: str, length: int = 60) -> str:
    """Return the beginning of a text on one line."""
    return Truncator(" ".join(text.split())).chars(length)


def audience(mailing: Mailing) -> str:
    """Return in words to whom a mailing goes."""
    filters = as_lists(mailing.filters).items()
    parts = [f"{NAMES[key]} {join_names(values)}" for key, values in filters]
    if mailing.resends_id:
        parts.insert(0, resent(mailing.resends_id, mailing.resent_codes))
    return " · ".join(parts) or gettext("everyone")


def resent(mailing_id: int, codes: Sequence[str] | None = None) -> str:
    """Return in words that a mailing goes to those to whom another one failed."""
    reasons = f" ({join_names(codes)})" if codes else ""
    return gettext("to whom mailing %(id)s failed") % {"id": mailing_id} + reasons


def outcomes(mailing: Mailing, stats: Mapping[str, Any]) -> list[str]:
    """Return in words what became of messages: tried again, why failed, with which text sent.

    `stats` are those of `mailings.stats.detailed_stats`.
    """
    found = []
    if retrying := stats["retrying"]:
        found.append(f"Being tried again: {retrying:,} of the failed.")
    if reasons := stats["error_codes"]:
        by_size = sorted(reasons.items(), key=lambda reason: (-reason[1], reason[0]))
        numbers = [f"{number:,} {code.replace('_', ' ')}" for code, number in by_size]
        found.append(f"Failed: {', '.join(numbers)}.")
    if mailing.text_version > 1 and (versions := stats["text_versions"]):
        numbers = [f"{number:,} with text {version}" for version, number in versions.items()]
        found.append(f"Sent: {', '.join(numbers)}.")
    return found


def hours(window: Window | None) -> str:
    """Return in words the hours of the day in which clients are sent to."""
    if window is None:
        return gettext("at any hour")
    of = {"start": f"{window.start:%H:%M}", "end": f"{window.end:%H:%M}"}
    return gettext("only %(start)s – %(end)s, each client's own local time") % of


def facts(mailing: Mailing) -> list[tuple[str, str]]:
    """Return what is sent, to whom and when, each with its name."""
    times = f"{format_minute(mailing.start_time)} – {format_minute(mailing.stop_time)}"
    return [
        (gettext("text"), mailing.text),
        (gettext("to whom"), audience(mailing)),
        (gettext("from – to"), times),
        (gettext("at what hours"), hours(mailing.window)),
    ]


def window_state(mailing: Mailing, zone: str, now: datetime) -> str:
    """Return in words whether the window is open in a time zone, and until when."""
    if mailing.window is None or mailing.success_count is not None or zone == UNKNOWN_ZONE:
        return ""
    opens_at = next_opening(mailing.window, zone, now)
    if opens_at > now:
        return gettext("shut until %(time)s") % {"time": moment(opens_at, now)}
    closes_at = next_closing(mailing.window, zone, now)
    return gettext("open until %(time)s") % {"time": moment(closes_at, now)}


def status_label(mailing: Mailing) -> SafeString:
    """Return the status as a coloured label."""
    return label(mailing.get_status_display(), COLOURS[Status(mailing.status)])


def next_event(mailing: Mailing, now: datetime) -> str:
    """Return in words what happens to a mailing next, without an operator."""
    if mailing.success_count is not None:
        return gettext("Nothing more happens: every message has had its last word.")
    if mailing.is_draft:
        return gettext("It is a draft: nothing is sent until it is launched.")
    if mailing.is_over_at(now):
        return gettext("It is being closed: what is in flight arrives, the rest fails.")
    at = {"time": format_minute(mailing.stop_time)}
    stop = gettext("At %(time)s what is left fails.") % at
    if mailing.status == Status.PAUSED:
        return gettext("Nothing is sent until it is resumed. %(stop)s") % {"stop": stop}
    if mailing.start_time > now:
        begins = {"time": format_minute(mailing.start_time)}
        return gettext("Sending begins at %(time)s.") % begins
    if mailing.last_run_time is None:
        return gettext("Its clients are being looked through. %(stop)s") % {"stop": stop}
    if mailing.resends_id:
        return stop
    again = format_minute(mailing.last_run_time + settings.MAILING_REPEAT_TIMEOUT)
    more = {"time": again, "stop": stop}
    return gettext("New matching clients are added at %(time)s. %(stop)s") % more
