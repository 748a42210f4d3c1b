"""Counts of a mailing's messages, as bars, as links and as tables."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from mailings.admin import labels
from mailings.models import Mailing
from mailings.progress import Progress
from messages_app.models import Standing
from toolkit.console.numbers import number, percent

ZONES_SHOWN = 10


def parts(progress: Progress) -> list[dict[str, Any]]:
    """Return counts as the parts of a bar, with their share."""
    total = progress.total or 1
    return [
        {
            "standing": standing.value,
            "name": standing.label,
            "number": number(progress.numbers[standing]),
            "is_none": not progress.numbers[standing],
            "width": f"{100 * progress.numbers[standing] / total:.2f}",
            "share": percent(progress.numbers[standing] / total),
        }
        for standing in Standing
    ]


def in_words(numbers: Mapping[Standing, int]) -> str:
    """Return counts as a sentence, without those that are nothing."""
    named = [
        f"{number(numbers[standing])} {str(standing.label).lower()}"
        for standing in Standing
        if numbers[standing]
    ]
    return " · ".join(named) or _("no messages yet")


def bar(progress: Progress) -> SafeString:
    """Return counts as a bar with the numbers below it."""
    return render_to_string(
        "admin/mailings/mailing/progress.html",
        {"parts": parts(progress), "in_words": in_words(progress.numbers)},
    )


def messages_of(mailing: Mailing, **filters: str) -> str:
    """Return the address of the list of a mailing's messages."""
    query = urlencode({"mailing": mailing.pk, **filters})
    return f"{reverse('admin:messages_app_message_changelist')}?{query}"


def done_share(progress: Progress) -> str:
    """Return in percent how much of a mailing is behind it, for the browser's tab."""
    if not progress.total:
        return ""
    return f"{int(100 * (progress.total - progress.left) / progress.total)} %"


def by_zone(
    mailing: Mailing, zones: Mapping[str, Mapping[str, int]], now: datetime
) -> list[dict[str, Any]]:
    """Return counts of the first ZONES_SHOWN time zones, each with the state of its window."""
    names = {"success": _("Sent"), "fail": _("Failed"), "pending": _("Waiting"), "total": _("All")}
    return [
        {
            "name": zone,
            "window": labels.window_state(mailing, zone, now),
            "numbers": [(name, number(counts[status])) for status, name in names.items()],
        }
        for zone, counts in list(zones.items())[:ZONES_SHOWN]
    ]
