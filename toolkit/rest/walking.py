"""Walking: reads the rows of a list along an index, and looks at a limited number of them.

Of a filter that few rows meet, or none, a database would read all rows that there are to fill a
page. So a page, and a count, looks at `reach` rows at most, and can go on where it stopped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import F, Model, Q, QuerySet
from django.db.models.functions import Greatest

PAGE_REACH = 20_000  # rows that are looked at for one page
COUNT_REACH = 100_000  # and for one count
FIRST_STRETCH = 1_000  # rows that one statement looks at first: then most pages are full
STRETCH = 20_000  # and afterwards
MAX_STRANDS = 10  # of a leg
# Ids are in the order of creation but for those that several transactions make at once.
DISORDER = timedelta(hours=1)


@dataclass(frozen=True)
class Leg:
    """A part of a list, of which an index has the rows in the order of a column.

    Args:
        where: which rows belong to this leg.
        strands: conditions of which a row meets one at most. Of each, an index has the rows that
            meet it in order. The rows that meet any are looked at; all of the leg are among them.
        column: it is not empty, and different in each row of the leg.
        key: names the leg in cursors; digits, or nothing if there is no other leg.
    """

    where: Q
    strands: Sequence[Q]
    column: str = "id"
    is_descending: bool = True
    key: str = ""

    def within(self, condition: Q) -> "Leg":
        """Return the part of this leg that meets a condition on the column that orders it."""
        return replace(
            self, where=self.where & condition, strands=[each & condition for each in self.strands]
        )


def plain_leg(ordering: str = "-id") -> Leg:
    """Return the leg that has all rows, in the order of a column."""
    return Leg(Q(), [Q()], column=ordering.lstrip("-"), is_descending=ordering.startswith("-"))


def leg_by_values(column: str, values: Sequence[object]) -> Leg:
    """Return the leg of rows with one of these values in a column: (column, id) is an index."""
    distinct = sorted(set(map(str, values)))
    if len(distinct) > MAX_STRANDS:
        return plain_leg()
    return Leg(Q(), [Q(**{column: value}) for value in distinct])


def shortest(model: type[Model], legs: Sequence[Leg]) -> Leg:
    """Return the first leg of so few rows that one statement sees its end, or else the first."""
    rows = model._default_manager.all()
    roads = (_Road(rows, leg, is_ascending=False, is_bounded=True, begin=None) for leg in legs[1:])
    others = (road.leg for road in roads if next(road.stretches(0, PAGE_REACH))[1] is None)
    return legs[0] if len(legs) == 1 else next(others, legs[0])


def ids_made_between(rows: QuerySet[Any], after: datetime | None, before: datetime | None) -> Q:
    """Return which ids rows have that were created between two times, and some more."""
    first = {"pk__gte": first_id_at(rows, after - DISORDER)} if after else {}
    end = {"pk__lt": first_id_at(rows, before + DISORDER)} if before else {}
    return Q(**first, **end)


def first_id_at(rows: QuerySet[Any], moment: datetime) -> int:
    """Return the lowest id from which on rows were created at a time or later.

    `created_at` has no index: it is found by halving, with some twenty looks at the index of ids.
    Behind the last row it is one more.
    """
    low, high = 0, (rows.order_by("-pk").values_list("pk", flat=True).first() or 0) + 1
    while low < high:
        middle = (low + high) // 2
        following = rows.filter(pk__gte=middle).order_by("pk").values_list("pk", "created_at")
        pk, created_at = following.first() or (high, moment)
        low, high = (low, middle) if created_at >= moment else (pk + 1, high)
    return low


class Place(NamedTuple):
    """A place in a list: behind the row that has this value in the column of a leg.

    If it `includes` that row, the row is still to come, whichever way one goes on. Without a value
    it is the beginning of the leg.
    """

    key: str
    value: Any
    includes: bool = False


class Found(NamedTuple):
    """Rows of a list with their places, and up to where it was looked at; None is to its end."""

    steps: list[tuple[Any, Place]]
    up_to: Place | None


@dataclass(frozen=True)
class _Road:
    """A leg, walked in one direction."""

    rows: QuerySet[Any]
    leg: Leg
    is_ascending: bool
    is_bounded: bool
    begin: Place | None

    def stretches(self, limit: int, reach: int) -> Iterator[tuple[Place | None, Place | None, int]]:
        """Yield (begin, end, number of rows looked at); without an end, it is that of the leg."""
        begin, size = self.begin, max(FIRST_STRETCH, limit)
        if not self.is_bounded:
            yield begin, None, 0
            return
        while reach > 0:
            size = min(size, reach)
            end = self.end_of(begin, size)
            yield begin, end, size
            if end is None:
                return
            begin, reach, size = end, reach - size, STRETCH

    def between(self, begin: Place | None, end: Place | None) -> QuerySet[Any]:
        """Return the rows of the list in a stretch, without an order."""
        return self.rows.filter(self.leg.where, self._behind(begin), self._up_to(end)).order_by()

    def in_order(self, begin: Place | None, end: Place | None) -> QuerySet[Any]:
        """Return the same in order.

        If there is an end, Postgres is kept from looking for the rows along another index that has
        the same order: it would guess how soon it finds enough, and may read millions.
        """
        column = F(self.leg.column)
        key = Greatest(column, column) if end else column
        order = key.asc() if self.is_ascending else key.desc()
        return self.between(begin, end).order_by(order)

    def place_of(self, row: Any) -> Place:
        """Return the place of a row."""
        return Place(self.leg.key, getattr(row, self.leg.column))

    def end_of(self, begin: Place | None, size: int) -> Place | None:
        """Return where a stretch of so many rows ends; None if the leg has no more than that."""
        each = max(size // len(self.leg.strands), 1)
        ends = [end for strand in self.leg.strands for end in self._last(strand, begin, each)]
        nearest = min if self.is_ascending else max
        return Place(self.leg.key, nearest(ends)) if ends else None

    def _last(self, strand: Q, begin: Place | None, number: int) -> QuerySet[Any, Any]:
        """Return the column's value in the last of so many rows of a strand, if it has so many."""
        column = self.leg.column
        rows = self.rows.model._default_manager.filter(strand, self._behind(begin))
        in_order: QuerySet[Any, Any] = rows.order_by(column if self.is_ascending else f"-{column}")
        return in_order.values_list(column, flat=True)[number - 1 : number]

    def _behind(self, place: Place | None) -> Q:
        if place is None or place.value is None:
            return Q()
        lookup = ("gt" if self.is_ascending else "lt") + ("e" if place.includes else "")
        return Q(**{f"{self.leg.column}__{lookup}": place.value})

    def _up_to(self, place: Place | None) -> Q:
        if place is None:
            return Q()
        lookup = "lte" if self.is_ascending else "gte"
        return Q(**{f"{self.leg.column}__{lookup}": place.value})


@dataclass(frozen=True)
class Walk:
    """A list of which filters have selected the rows, and the legs that together have them all.

    `is_bounded` is False where every row of the legs is in the list: none is looked at in vain.
    """

    rows: QuerySet[Any]
    legs: Sequence[Leg]
    is_bounded: bool = True

    def read(self, limit: int, *, start: Place | None, is_backward: bool) -> Found:
        """Return the next rows behind a place, or those before it: at most `limit` of them.

        There are fewer where PAGE_REACH rows were looked at, or the list ends.
        """
        steps: list[tuple[Any, Place]] = []
        reach = PAGE_REACH
        for road in self._roads(start, is_backward):
            end: Place | None = Place(road.leg.key, None)
            for begin, end, size in road.stretches(limit - len(steps), reach):
                rows = road.in_order(begin, end)[: limit - len(steps)]
                steps += [(row, road.place_of(row)) for row in rows]
                reach -= size
                if len(steps) >= limit:
                    return Found(steps, steps[-1][1])
            if end is not None:
                return Found(steps, end)
        return Found(steps, None)

    def count(self, limit: int) -> tuple[int, bool]:
        """Return the number of rows, and whether there may be more.

        It counts up to `limit`, and looks at COUNT_REACH rows.
        """
        number, reach = 0, COUNT_REACH
        for road in self._roads(None, is_backward=False):
            end: Place | None = Place(road.leg.key, None)
            for begin, end, size in road.stretches(0, reach):
                number += road.between(begin, end)[: limit + 1 - number].count()
                reach -= size
                if number > limit:
                    return limit, True
            if end is not None:
                return number, True
        return number, False

    def in_stretches(self, size: int) -> Iterator[QuerySet[Any]]:
        """Yield the rows of the whole list in order, a stretch of so many that are looked at."""
        for road in self._roads(None, is_backward=False):
            begin = None
            while (end := road.end_of(begin, size)) is not None:
                yield road.in_order(begin, end)
                begin = end
            yield road.in_order(begin, None)

    def _roads(self, start: Place | None, is_backward: bool) -> Iterator[_Road]:
        """Yield the legs from a place on."""
        legs = list(reversed(self.legs) if is_backward else self.legs)
        first = [leg.key for leg in legs].index(start.key) if start else 0
        for number, leg in enumerate(legs[first:]):
            is_ascending = is_backward == leg.is_descending
            begin = None if number else start
            yield _Road(self.rows, leg, is_ascending, self.is_bounded, begin)
