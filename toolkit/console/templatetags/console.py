"""`{% load console %}`: numbers and times as the reader has them, and where a page stands."""

from datetime import datetime
from typing import Any

from django import template
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import reverse
from django.utils.text import capfirst

from toolkit.console import labels

register = template.Library()


@register.filter
def number(value: float | None) -> str:
    """Write a number with thousands separators: 1,000,015."""
    return labels.format_number(value)


@register.filter
def minute(value: datetime | None) -> str:
    """Write a time to the minute."""
    return labels.format_minute(value)


@register.filter
def second(value: datetime | None) -> str:
    """Write a time to the second."""
    return labels.format_second(value)


@register.simple_tag
def zone_name() -> str:
    """Name the time zone in which the page's times are."""
    return labels.zone_name()


@register.simple_tag(takes_context=True)
def trail(context: template.RequestContext) -> list[dict[str, Any]]:
    """Return the pages above this one, with titles and links; none above a list."""
    opts = context.get("opts")
    if opts is None or context.get("cl"):
        return []
    pages = f"admin:{opts.app_label}_{opts.model_name}"
    steps = [{"title": capfirst(opts.verbose_name_plural), "link": reverse(f"{pages}_changelist")}]
    row = context.get("original") or context.get("object")
    if isinstance(row, Model) and "adminform" not in context:
        link = reverse(f"{pages}_change", args=[quote(row.pk)])
        steps.append({"title": str(row), "link": link})
    return steps
