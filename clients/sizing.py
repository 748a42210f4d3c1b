"""The size of an audience, told without looking through all clients (docs/adr/0029).

Up to COUNTED clients are counted. Of a larger table a SAMPLE is, in slices that lie over all ids,
and what is found is scaled up; unless so few match that an index finds them.
"""

from collections import Counter
from dataclasses import dataclass

from django.db.models import Count, F, Max, Min, Q

from clients.audience import KEYS, Filters
from clients.models import Client
from clients.querysets import ClientQuerySet
from toolkit.time_limit import TookTooLong, time_limit

Values = tuple[str, str, str]

COUNTED = 100_000  # clients that are looked at, at most
SAMPLE = 20_000  # of more
SLICES = 400  # of a sample; many, because clients that were imported together are alike
RARE = 1_000  # matching clients in a sample; of fewer a share of all says little
SOME = 1_000
GOLDEN_RATIO = 0.618034  # whose multiples spread evenly over what follows the decimal point
PATIENCE = 0.3  # seconds in which few clients are found by an index


@dataclass(frozen=True, slots=True)
class Audience:
    """How many clients some filters select, in all and by what clients are selected by.

    `groups` counts by (operator code, tag, time zone). `everyone` is how many clients there are.
    `some` are ids of up to SOME of them, spread evenly.
    """

    groups: Counter[Values]
    everyone: int
    is_estimate: bool
    some: list[int]

    @property
    def total(self) -> int:
        """How many clients it has."""
        return self.groups.total()

    def by(self, key: str) -> Counter[str]:
        """Return {value: clients} by one of the keys of filters."""
        numbers: Counter[str] = Counter()
        place = KEYS.index(key)
        for values, number in self.groups.items():
            numbers[values[place]] += number
        return numbers


def audience_of(filters: Filters) -> Audience:
    """Return how many clients filters select now."""
    ends = Client.objects.aggregate(first=Min("pk"), last=Max("pk"))
    span = ends["last"] - ends["first"] + 1 if ends["last"] else 0
    if span <= COUNTED:
        return _counted(filters)
    scope, factor = _slices(ends["first"], span)
    sampled = Client.objects.filter(scope)
    everyone = round(sampled.count() * factor)
    if everyone <= COUNTED:  # with gaps between their ids
        return _counted(filters)
    matching = sampled.matching(filters)
    groups = _groups(matching)
    if groups.total() < RARE and (few := _few(filters, everyone)):
        return few
    scaled = Counter({values: round(number * factor) for values, number in groups.items()})
    return Audience(scaled, everyone, True, _some(matching, groups.total()))


def audience_of_some(clients: ClientQuerySet, number: int) -> Audience:
    """Return an audience of so many, given some of its clients, which are few enough to count."""
    groups = _groups(clients)
    found = groups.total()
    is_estimate = number > found
    if is_estimate and found:
        groups = Counter({of: round(each * number / found) for of, each in groups.items()})
    return Audience(groups, Client.objects.count(), is_estimate, _some(clients, found))


def _counted(filters: Filters) -> Audience:
    matching = Client.objects.matching(filters)
    groups = _groups(matching)
    return Audience(groups, Client.objects.count(), False, _some(matching, groups.total()))


def _few(filters: Filters, everyone: int) -> Audience | None:
    """Return the audience if it is found in a moment and no larger than COUNTED."""
    matching = Client.objects.matching(filters)
    try:
        with time_limit(PATIENCE):
            groups = _groups(
                matching.filter(pk__in=matching.order_by().values("pk")[: COUNTED + 1])
            )
            if groups.total() > COUNTED:
                return None
            return Audience(groups, everyone, False, _some(matching, groups.total()))
    except TookTooLong:
        return None


def _slices(first: int, span: int) -> tuple[Q, float]:
    """Return the condition of the sample, and how many clients stand for one in it."""
    size = SAMPLE // SLICES
    scope = Q()
    for number in range(SLICES):
        # Each somewhere else in its share of the ids, or what comes at intervals would be missed.
        shift = (span / SLICES - size) * (number * GOLDEN_RATIO % 1)
        begin = first + span * number // SLICES + int(shift)
        scope |= Q(pk__gte=begin, pk__lt=begin + size)
    return scope, span / (size * SLICES)


def _groups(matching: ClientQuerySet) -> Counter[Values]:
    rows = matching.order_by().values_list(*KEYS).annotate(number=Count("pk"))
    groups: Counter[Values] = Counter()
    for *values, number in rows:
        operator_code, tag, zone = map(str, values)
        groups[operator_code, tag, zone] += number
    return groups


def _some(matching: ClientQuerySet, number: int) -> list[int]:
    """Return ids of up to about SOME of so many clients."""
    step = max(1, number // SOME)
    spread = matching.alias(place=F("pk") % step).filter(place=0)
    return list(spread.order_by().values_list("pk", flat=True)[: 2 * SOME])
