"""Pages of history, read by an index in bounded steps, however long it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from toolkit.history.models import Entry, EntryQuerySet

SIZE = 50  # entries of a page
DIGITS = 19  # that a cursor has less than: an id
LOOKED_AT = 5_000  # entries that one page looks at, of which those are shown that fit

# What is asked for, by the index that serves it best. Of several the first one leads, and the
# others are looked for among the entries that it finds.
LEADS: dict[str, Callable[[Any], Q]] = {
    "object": lambda name: Q(kind=name.partition("/")[0], key=name.partition("/")[2]),
    # As its index has it. nosec: the key is a name, and no secret.
    "token": lambda key: Q(token=key) & ~Q(token=""),  # nosec B106
    "user": lambda pk: Q(user_id=pk),
    "kind": lambda kind: Q(kind=kind),
    "deed": lambda deed: Q(deed=deed),
    "door": lambda door: Q(door=door),  # no index: most entries are of one of few
}


@dataclass(frozen=True)
class HistoryPage:
    """Some entries, the newest first, and where the older ones begin."""

    entries: list[Entry] = field(default_factory=list)
    before: int | None = None  # the cursor of the next page; None at the end

    @property
    def is_short(self) -> bool:
        """Whether there is more to look at although the page is not full."""
        return self.before is not None and len(self.entries) < SIZE


def read_page(
    wanted: Mapping[str, Any],
    *,
    first_day: date | None = None,
    last_day: date | None = None,
    before: str = "",
) -> HistoryPage:
    """Return the newest entries that fit, of at most LOOKED_AT, from a cursor on.

    Args:
        wanted: {name in LEADS: value}; None and "" do not count.
        first_day: in the reader's zone; entries from its beginning on.
        last_day: entries until its end.
        before: the cursor of a page; what is none begins with the newest.
    """
    conditions = [lead(wanted[name]) for name, lead in LEADS.items() if wanted.get(name)]
    by_index = wanted.keys() - {"door"}
    leads = conditions[:1] if any(wanted.get(name) for name in by_index) else []
    rows: EntryQuerySet = _between(Entry.objects.filter(*leads), first_day, last_day)
    if before.isdecimal() and len(before) < DIGITS:
        rows = rows.filter(pk__lt=int(before))
    rest = conditions[len(leads) :]
    if not rest:
        return _cut(list(rows.order_by("-pk")[: SIZE + 1]))
    return _search(rows.order_by("-pk"), rest)


def _between(rows: EntryQuerySet, first_day: date | None, last_day: date | None) -> EntryQuerySet:
    if first_day:
        rows = rows.since(_midnight(first_day))
    if last_day:
        rows = rows.until(_midnight(last_day + timedelta(days=1)))
    return rows


def _search(rows: EntryQuerySet, conditions: list[Q]) -> HistoryPage:
    ids = list(rows.values_list("pk", flat=True)[:LOOKED_AT])
    if not ids:
        return HistoryPage()
    looked_at = rows.filter(pk__gte=ids[-1])
    page = _cut(list(looked_at.filter(*conditions)[: SIZE + 1]))
    if page.before is None and len(ids) == LOOKED_AT:
        return HistoryPage(page.entries, ids[-1])
    return page


def _cut(found: list[Entry]) -> HistoryPage:
    return HistoryPage(found[:SIZE], found[SIZE - 1].pk if len(found) > SIZE else None)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, timezone.get_current_timezone())
