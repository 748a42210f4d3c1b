"""What became of a mailing's messages: when, and why those failed that did."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from mailings.admin.counts import messages_of
from mailings.failures import failures
from mailings.models import Mailing
from messages_app.ledger.accounts import FAIL, RETRY, SUCCESS
from messages_app.ledger.timeline import sending_span, timeline
from messages_app.models import ErrorCode, Standing
from toolkit.console.chart import DAY, HOUR, MINUTE, Series, draw, width_of_bars
from toolkit.console.labels import format_minute
from toolkit.console.numbers import number, percent

TEMPLATES = "admin/mailings/mailing"


def series() -> list[Series]:
    """Return what a chart of messages counts."""
    return [
        Series(SUCCESS, _("Sent"), "part-sent"),
        Series(RETRY, _("Being retried"), "part-retried"),
        Series(FAIL, _("Failed for good"), "part-failed"),
    ]


def course(mailing: Mailing) -> SafeString:
    """Return a chart of what became of a mailing's messages; empty before anything did."""
    ends = sending_span(mailing.pk)
    if ends is None:
        return SafeString("")
    since, until = ends
    width = width_of_bars(since, until)
    step = "minute" if width < HOUR else "hour"  # no finer than is drawn
    points = timeline(mailing.pk, since=since, until=until, step=step)
    return draw(
        points, series(), begins_at=since, width=width, ends_at=until, title=title_of(width)
    )


def title_of(width: timedelta) -> str:
    """Return what the bars of a chart of messages are."""
    if width < HOUR:
        minutes = width // MINUTE
        return (
            _("Messages a minute")
            if minutes == 1
            else _("Messages in %(n)s minutes") % {"n": minutes}
        )
    if width < DAY:
        hours = width // HOUR
        return _("Messages an hour") if hours == 1 else _("Messages in %(n)s hours") % {"n": hours}
    days = width // DAY
    return _("Messages a day") if days == 1 else _("Messages in %(n)s days") % {"n": days}


class Answers(NamedTuple):
    """Where somebody answers to failures; empty where they may not, or cannot.

    `again` is where they are sent again, to be completed by a reason, and `is_new` whether that is
    a new mailing; `arrived` where it is said of those that they arrived of which nobody knows.
    """

    again: str
    arrived: str
    is_new: bool


def reasons(mailing: Mailing, answers: Answers) -> SafeString:
    """Return the failed messages by reason as a table; empty if none failed."""
    found = failures(mailing)
    if not found["results"]:
        return SafeString("")
    rows = [_row(mailing, each, answers) for each in found["results"]]
    return render_to_string(f"{TEMPLATES}/reasons.html", {"rows": rows, "answers": answers})


def _row(mailing: Mailing, found: Mapping[str, Any], answers: Answers) -> dict[str, Any]:
    code, example = found["error_code"], found["example"]
    name = ErrorCode(code).label if code in ErrorCode else code
    is_unknown = code == ErrorCode.UNCONFIRMED
    for_good = Standing.UNKNOWN if is_unknown else Standing.FAILED
    return {
        "code": code,
        "name": name,
        "final": number(found["final"]) if found["final"] else "",
        "final_href": messages_of(mailing, standing=for_good, error_code=code),
        "retrying": number(found["retrying"]) if found["retrying"] else "",
        "retrying_href": messages_of(mailing, standing=Standing.RETRIED, error_code=code),
        "again": f"{answers.again}{code}" if answers.again and found["final"] else "",
        "arrived": answers.arrived if is_unknown and found["final"] else "",
        "share": percent(found["share"]),
        "first_seen": format_minute(found["first_seen_at"]),
        "example": example["error"] if example else "",
        "example_href": reverse("admin:messages_app_message_change", args=[example["message"]])
        if example
        else "",
    }
