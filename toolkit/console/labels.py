"""Words, times, labels and links, as all rooms of the console show them."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

NAMED = 5  # objects that a sentence names before it only counts


def sentence(refusal: ValidationError) -> str:
    """Return in words why something was refused."""
    return " ".join(refusal.messages)


def join_names(names: list[str]) -> str:
    """Return names as part of a sentence, without end if there are many."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def format_minute(value: datetime | None) -> str:
    """Return a time as it is shown everywhere in the console, in UTC."""
    return f"{value:%Y-%m-%d %H:%M}" if value else "–"


def format_second(value: datetime | None) -> str:
    """Return a time, in UTC, where seconds matter."""
    return f"{value:%Y-%m-%d %H:%M:%S}" if value else "–"


def label(text: str, colour: str) -> SafeString:
    """Return a coloured label; the colours are Unfold's: success, info, warning, danger."""
    return render_to_string("unfold/helpers/label.html", {"text": text, "type": colour})


def link_to(model: str, pk: object, text: str) -> SafeString:
    """Return a link to the page of an object; `model` is such as "clients_client"."""
    address = reverse(f"admin:{model}_change", args=[pk])
    return format_html('<a href="{}" class="text-link">{}</a>', address, text)
