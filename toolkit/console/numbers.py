"""Numbers, rates and times as a sentence has them, in the language and the zone of who reads."""

from datetime import datetime, timedelta
from math import floor, log10

from django.utils import formats, timezone
from django.utils.translation import gettext as _

from toolkit.console.labels import format_minute, format_number

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def number(value: float) -> str:
    """Return a whole number with its thousands set apart."""
    return format_number(round(value))


def about(value: float) -> str:
    """Return a number to two digits, for what is only foreseen."""
    if value < 100:
        return number(value)
    return number(round(value, 1 - floor(log10(value))))


def rate(a_second: float) -> str:
    """Return messages a second, or what is easier to imagine: a minute."""
    if a_second >= 10 or not a_second:
        return _("%(number)s a second") % {"number": number(a_second)}
    if a_second >= 1:
        return _("%(number)s a second") % {"number": formats.number_format(f"{a_second:.2g}")}
    return _("%(number)s a minute") % {"number": number(a_second * 60)}


def percent(share: float) -> str:
    """Return a share from 0 to 1 in percent; what is not nothing is never shown as 0."""
    if 0 < share < 0.001:
        return _("under 0.1 %")
    if share < 0.1 and round(share * 100, 1) != round(share * 100):
        return f"{formats.number_format(round(share * 100, 1))} %"
    return f"{number(share * 100)} %"


def duration(span: timedelta) -> str:
    """Return how long something took, in minutes, hours or days."""
    if span < MINUTE:
        return _("less than a minute")
    numbers = {
        "days": span // DAY,
        "hours": span % DAY // HOUR,
        "minutes": span % HOUR // MINUTE,
    }
    if span < HOUR:
        return _("%(minutes)s min") % numbers
    if span < DAY:
        return (_("%(hours)s h %(minutes)s min") if span % HOUR else _("%(hours)s h")) % numbers
    return (_("%(days)s d %(hours)s h") if span % DAY else _("%(days)s d")) % numbers


def moment(at: datetime, now: datetime) -> str:
    """Return a time in the zone of who reads: without the day if that is today."""
    local = timezone.localtime(at)
    if local.date() == timezone.localtime(now).date():
        return f"{local:%H:%M}"
    return format_minute(at)
