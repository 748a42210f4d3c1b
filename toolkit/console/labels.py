"""Sentences, times, labels and links, formatted alike on all pages of the console."""

from collections.abc import Sequence
from datetime import datetime

from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

NAMED = 5  # names that a sentence lists; the others are counted


def sentence(refusal: ValidationError) -> str:
    """Return in words why something was refused."""
    return " ".join(refusal.messages)


def join_names(names: Sequence[str]) -> str:
    """Return the first NAMED names, separated by commas, and the number of the others."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def format_minute(value: datetime | None) -> str:
    """Return a time in UTC, to the minute; "–" for None."""
    return f"{value:%Y-%m-%d %H:%M}" if value else "–"


def format_second(value: datetime | None) -> str:
    """Return a time in UTC, to the second; "–" for None."""
    return f"{value:%Y-%m-%d %H:%M:%S}" if value else "–"


def label(text: str, colour: str) -> SafeString:
    """Return a coloured label; the colours are Unfold's: success, info, warning, danger."""
    return render_to_string("unfold/helpers/label.html", {"text": text, "type": colour})


def link_to(model: str, pk: object, text: str) -> SafeString:
    """Return a link to the page of an object; `model` is such as "clients_client"."""
    address = reverse(f"admin:{model}_change", args=[pk])
    return format_html('<a href="{}" class="text-link">{}</a>', address, text)
