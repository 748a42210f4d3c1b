"""`{% load console %}`: numbers and times as the reader's language and time zone have them."""

from datetime import datetime

from django import template

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
