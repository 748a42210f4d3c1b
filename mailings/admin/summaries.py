"""What a mailing comes to, in the words and bars of the form and of the review page."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Model
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from clients.audience import Filters, as_lists
from clients.models import Client
from clients.sizing import Audience
from mailings.admin import labels
from mailings.models import Mailing
from mailings.preview import Preview, is_everyone
from toolkit.console.labels import format_minute, format_number
from toolkit.text_parts import ALONE, IN_PARTS, TextParts

BARS = 8  # values of a kind that are shown
SAMPLES = 5  # clients that are shown
NAMED = 10  # characters that are shown
FEW = 5  # of which more are a language's letters
A_WEEK = timedelta(days=6)
CLIENTS = "admin:clients_client_changelist"
GROUPS = (
    ("timezone", gettext_lazy("By time zone")),
    ("operator_code", gettext_lazy("By operator")),
    ("tag", gettext_lazy("By tag")),
)
# What GSM-7 does not have, and what says the same in it.
SUBSTITUTES = {
    **dict.fromkeys("—–‒−‐‑", "-"),  # dashes and hyphens
    **dict.fromkeys("“”„«»″", '"'),
    **dict.fromkeys("‘’‚′`", "'"),
    **dict.fromkeys("\u00a0\u202f\u2009\u2003", " "),  # blanks that are no plain ones
    "…": "...",
    "•": "-",
    "№": "No.",
    "™": "(TM)",
    "©": "(c)",
    "®": "(R)",
}
NAMES_OF_BLANKS = dict.fromkeys("\u00a0\u202f\u2009\u2003", gettext_lazy("a special blank"))


class Bar(NamedTuple):
    """Clients with one value, and their share in percent of those with the commonest."""

    name: str
    number: str
    percent: str


def clients(number: int, *, is_about: bool = False) -> str:
    """Return a number of clients in words."""
    text = ngettext("%(number)s client", "%(number)s clients", number)
    about = _("about %(number)s") if is_about else "%(number)s"
    return text % {"number": about % {"number": format_number(number)}}


def of_audience(mailing: Mailing, audience: Audience) -> dict[str, Any]:
    """Return whom a mailing reaches, for a page."""
    return {
        "total": audience.total,
        "clients": clients(audience.total, is_about=audience.is_estimate),
        "is_nobody": not audience.total,
        "is_everyone": bool(audience.total) and is_everyone(mailing, audience),
        "groups": [
            {"name": name, "bars": bars, "more": more}
            for key, name in GROUPS
            for bars, more in [_bars(audience.by(key))]
            if bars
        ],
        "address": None if mailing.resends_id else address_of(mailing.filters),
    }


def _bars(numbers: Counter[str]) -> tuple[list[Bar], int]:
    """Return the commonest values as bars, and how many more there are."""
    by_size = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    most = by_size[0][1] if by_size else 1
    bars = [
        Bar(value or _("none"), format_number(number), f"{100 * number / most:.1f}")
        for value, number in by_size[:BARS]
        if number
    ]
    return bars, len(by_size) - len(bars)


def address_of(filters: Filters) -> str | None:
    """Return the address of the list of clients that filters select; None if it has no such."""
    lists = as_lists(filters)
    if any(len(values) != 1 for values in lists.values()):
        return None
    query = urlencode({key: values[0] for key, values in lists.items()})
    return f"{reverse(CLIENTS)}?{query}" if query else reverse(CLIENTS)


def samples(audience: Audience) -> list[Client]:
    """Return some of the clients, spread over all of them."""
    step = max(1, len(audience.some) // SAMPLES)
    return list(Client.objects.filter(pk__in=audience.some[::step][:SAMPLES]))


def of_text(text: TextParts, *, limit: int) -> dict[str, Any]:
    """Return what a text comes to, for a page: `limit` is how many characters it may have."""
    room = ALONE[text.encoding] if text.parts == 1 else IN_PARTS[text.encoding] * text.parts
    return {
        "characters": _("%(number)s of %(limit)s characters")
        % {"number": format_number(text.characters), "limit": format_number(limit)},
        "parts": ngettext("%(number)s part", "%(number)s parts", text.parts)
        % {"number": format_number(text.parts)},
        "units": _("%(number)s of %(room)s in %(alphabet)s")
        % {
            "number": format_number(text.units),
            "room": format_number(room),
            "alphabet": text.encoding,
        },
        "is_too_long": text.characters > limit,
        **_forcing(text),
        "replacements": _replacements(text),
        "replace_all": json.dumps([[each, SUBSTITUTES[each]] for each in text.forcing])
        if len(text.forcing) > 1 and _is_replaceable(text)
        else "",
    }


def _forcing(text: TextParts) -> dict[str, Any]:
    """Return which characters GSM-7 does not have, unless they are a whole alphabet's letters."""
    if not _is_replaceable(text) and len(text.forcing) > FEW:
        return {}
    return {
        "forcing": " ".join(each for each in text.forcing[:NAMED] if not each.isspace()),
        "more_forcing": max(0, len(text.forcing) - NAMED),
        "parts_without": text.parts_without if text.parts_without < text.parts else None,
    }


def _replacements(text: TextParts) -> list[dict[str, str]]:
    """Return what may be replaced with one click, so that GSM-7 will do."""
    if not _is_replaceable(text):
        return []
    return [
        {
            "name": str(NAMES_OF_BLANKS.get(each, each)),
            "is": SUBSTITUTES[each] if SUBSTITUTES[each] != " " else _("a blank"),
            "pairs": json.dumps([[each, SUBSTITUTES[each]]]),
        }
        for each in text.forcing
    ]


def _is_replaceable(text: TextParts) -> bool:
    """Tell whether GSM-7 would do. Where a letter needs UCS-2, as in Russian, nothing helps."""
    return bool(text.forcing) and SUBSTITUTES.keys() >= set(text.forcing)


def bill(text: TextParts, audience: Audience) -> str:
    """Return how many parts a network has to carry."""
    if text.parts == 1:
        return ""
    number = format_number(text.parts * audience.total)
    return _("%(parts)s parts × %(clients)s = %(number)s parts in all") % {
        "parts": text.parts,
        "clients": clients(audience.total, is_about=audience.is_estimate),
        "number": number,
    }


def launch_title(mailing: Mailing, audience: Audience, now: datetime) -> str:
    """Return what the button that launches a mailing says."""
    values = {"clients": clients(audience.total, is_about=audience.is_estimate)}
    if mailing.start_time > now:
        title = _("Schedule for %(time)s (%(clients)s)")
        return title % {**values, "time": short_time(mailing.start_time, now)}
    if not audience.total:
        return _("Launch, although it reaches nobody now")
    return _("Send to %(clients)s now") % values


def short_time(moment: datetime, now: datetime) -> str:
    """Return a time of these days as a day of the week and an hour, such as Fri 09:00."""
    if now <= moment < now + A_WEEK:
        return formats.date_format(timezone.localtime(moment), "D H:i")
    return format_minute(moment)


def outlook(mailing: Mailing, found: Preview) -> dict[str, Any]:
    """Return what is to be expected: a sentence, and of what will miss the stop time what helps."""
    expected, total = found.forecast, found.audience.total
    lost = expected.too_late + expected.shut_out
    values = {
        "in_time": clients(expected.deliverable, is_about=found.audience.is_estimate),
        "at": format_minute(expected.finishes_at),
        "lost": clients(lost, is_about=True),
        "rate": _rate(found.pace.rate),
        "stop": format_minute(mailing.stop_time),
    }
    if not total or (not lost and not expected.finishes_at):
        return {"sentence": "", "is_bad": False, "helps": []}
    if not lost:
        sentence = _("Done about %(at)s, at %(rate)s messages a second.") % values
    else:
        sentence = _(
            "%(lost)s will not be reached before the stop time, %(stop)s. %(in_time)s will, at "
            "%(rate)s messages a second."
        )
        sentence %= values
    return {"sentence": sentence, "is_bad": bool(lost), "helps": list(_helps(found))}


def _rate(rate: float) -> str:
    return format_number(int(rate) if rate == int(rate) else round(rate, 2))


def _helps(found: Preview) -> Iterator[str]:
    if found.stop_needed:
        yield _("A stop time after %(time)s would do.") % {"time": format_minute(found.stop_needed)}
    if found.forecast.too_late and (rate := found.forecast.rate_needed):
        yield _("%(rate)s messages a second would do.") % {"rate": _rate(rate)}
    if found.forecast.shut_out:
        number = clients(found.forecast.shut_out, is_about=found.audience.is_estimate)
        yield _("For %(clients)s the hours of the day are never open in that time.") % {
            "clients": number
        }


# What the outlook and the audience say already, and what the button says.
SAID_ELSEWHERE = {
    *("nobody_matches", "everyone_matches", "starts_at_once"),
    *("window_never_opens", "stop_time_too_early", "stop_time_passed", "rate_assumed"),
}


def cautions(found: Preview) -> list[str]:
    """Return what else an operator would want to know."""
    said = SAID_ELSEWHERE
    if found.text and not _is_replaceable(found.text):
        said = said | {"costly_characters"}  # Letters need them; nothing can be done about it.
    return [each.detail for each in found.cautions if each.code not in said]


def hours(mailing: Mailing) -> str:
    """Return in words the hours of the day in which clients are sent to."""
    return labels.hours(mailing.window)


def limit_of(model: type[Model], field: str) -> int:
    """Return how many characters a field may have."""
    return model._meta.get_field(field).max_length or 0  # type: ignore[union-attr]
