"""Two editors of one mailing: what differs between theirs and mine, to be chosen field by field."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, time
from typing import Any, NamedTuple

from django.utils.translation import gettext_lazy as _

from clients.audience import as_lists
from mailings.admin import labels
from mailings.models import Mailing
from toolkit.console.history_words import who
from toolkit.console.labels import format_minute, format_second
from toolkit.history.models import Entry

CHANGED = "mailing_changed_meanwhile"  # the code of the service's refusal
TAKE = "take_"  # in front of a field's name: whose value is saved
THEIRS = "theirs"
# {field: (its name, its value in words)}
FIELDS: Mapping[str, tuple[Any, Callable[[Mailing], str]]] = {
    "text": (_("Text"), lambda mailing: mailing.text),
    "external_id": (_("External id"), lambda mailing: mailing.external_id or "–"),
    "filters": (_("To whom"), labels.audience),
    "start_time": (_("Start time"), lambda mailing: format_minute(mailing.start_time)),
    "stop_time": (_("Stop time"), lambda mailing: format_minute(mailing.stop_time)),
    "window_start": (_("Only from"), lambda mailing: _hour(mailing.window_start)),
    "window_end": (_("Only until"), lambda mailing: _hour(mailing.window_end)),
}


class Difference(NamedTuple):
    """A field in which two editors differ; `is_mine` is whether I have edited it."""

    field: str
    name: str
    theirs: str
    mine: str
    is_mine: bool


class Conflict(NamedTuple):
    """What somebody else has saved meanwhile: who, when, in which version, and what differs."""

    who: str
    at: str
    version: str
    seen: str
    differences: list[Difference]


def seen_in(mailing: Mailing) -> str:
    """Return what a form shows of a mailing, to be kept in it: what of it I edit follows later."""
    return json.dumps(_plain(mailing))


def conflict_of(mine: Mailing, *, seen: str) -> Conflict:
    """Return how a mailing as I want to save it differs from what is stored.

    `seen` is what my form showed at first (`seen_in`).
    """
    theirs = Mailing.objects.get(pk=mine.pk)
    before, stored, wanted = _read(seen), _plain(theirs), _plain(mine)
    last = Entry.objects.of(f"mailings/{mine.pk}").first()
    return Conflict(
        who=who(last) if last else "",
        at=format_second(last.at) if last else "",
        version=theirs.updated_at.isoformat(),
        seen=seen_in(theirs),
        differences=[
            Difference(
                field, str(name), words(theirs), words(mine), wanted[field] != before.get(field)
            )
            for field, (name, words) in FIELDS.items()
            if stored[field] != wanted[field]
        ],
    )


def _plain(mailing: Mailing) -> dict[str, Any]:
    """Return what a form shows of a mailing: times to the minute."""
    filters = {key: sorted(values) for key, values in as_lists(mailing.filters).items()}
    times = (mailing.start_time, mailing.stop_time)
    return {
        "text": mailing.text,
        "external_id": mailing.external_id or "",
        "filters": filters,
        **dict(zip(("start_time", "stop_time"), map(_minute, times), strict=True)),
        "window_start": _hour(mailing.window_start),
        "window_end": _hour(mailing.window_end),
    }


def _read(seen: str) -> dict[str, Any]:
    try:
        found = json.loads(seen)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _minute(moment: datetime) -> int:
    return int(moment.timestamp() // 60)


def _hour(hour: time | None) -> str:
    return f"{hour:%H:%M}" if hour else "–"
