"""Sentences, times, labels and links, formatted alike on all pages of the console."""

from collections.abc import Sequence
from datetime import datetime

from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

GONE = _("It is no longer there.")
NAMED = 5  # names that a sentence lists; the others are counted


def sentence(refusal: ValidationError) -> str:
    """Return in words why something was refused."""
    return " ".join(refusal.messages)


def join_names(names: Sequence[str]) -> str:
    """Return the first NAMED names, separated by commas, and the number of the others."""
    more = len(names) - NAMED
    first = ", ".join(names[:NAMED])
    if more <= 0:
        return first
    return gettext("%(names)s and %(more)s more") % {"names": first, "more": format_number(more)}


def format_number(value: float | None) -> str:
    """Return a number with the separators of the reader's language; "–" for None."""
    return "–" if value is None else formats.number_format(value, force_grouping=True)


def format_minute(value: datetime | None) -> str:
    """Return a time in the reader's zone and format, to the minute; "–" for None."""
    if value is None:
        return "–"
    return formats.date_format(timezone.localtime(value), "SHORT_DATETIME_FORMAT")


def format_second(value: datetime | None) -> str:
    """Return a time in the reader's zone and format, to the second; "–" for None."""
    if value is None:
        return "–"
    local = timezone.localtime(value)
    return f"{formats.date_format(local, 'SHORT_DATE_FORMAT')} {local:%H:%M:%S}"


def zone_name() -> str:
    """Return the name of the time zone in which the reader sees times, such as Europe/Moscow."""
    return timezone.get_current_timezone_name()


def since(value: datetime, now: datetime) -> str:
    """Return a moment that has passed: the hour if it was today, else with its day."""
    own, today = timezone.localtime(value), timezone.localtime(now)
    return f"{own:%H:%M}" if own.date() == today.date() else format_minute(value)


def label(text: str, colour: str) -> SafeString:
    """Return a coloured label; the colours are Unfold's: success, info, warning, danger."""
    return render_to_string("unfold/helpers/label.html", {"text": text, "type": colour})


def link_to(model: str, pk: object, text: str) -> SafeString:
    """Return a link to the page of an object; `model` is such as "clients_client"."""
    address = reverse(f"admin:{model}_change", args=[pk])
    return format_html('<a href="{}" class="text-link">{}</a>', address, text)
