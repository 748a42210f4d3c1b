"""The size of an audience, told without looking through all clients (docs/adr/0029, 0048).

The tally has it. Where clients are of too many kinds for that, a SAMPLE is counted, in slices that
lie over all ids, and what is found is scaled up; unless so few match that an index finds them.
"""

from collections import Counter
from dataclasses import dataclass

from django.db.models import Count, F, Max, Min, Q

from clients import tally
from clients.audience import KEYS, Filters
from clients.models import Client
from clients.querysets import ClientQuerySet
from clients.tally import Kinds
from toolkit.time_limit import TookTooLong, time_limit

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

    `everyone` is how many clients there are. `some` are ids of up to SOME of them, spread evenly.
    """

    kinds: Kinds
    everyone: int
    is_estimate: bool
    some: list[int]

    @property
    def total(self) -> int:
        """How many clients it has."""
        return self.kinds.total()

    def by(self, key: str) -> Counter[str]:
        """Return {value: clients} by one of the keys of filters."""
        return tally.sums_by(key, self.kinds)


def audience_of(filters: Filters) -> Audience:
    """Return how many clients filters select now."""
    kinds, everyone = tally.kinds_of(filters), tally.number_of({})
    matching = Client.objects.matching(filters)
    if kinds is None:
        return _estimated(matching, everyone)
    number = kinds.total()
    if everyone > COUNTED and number * SAMPLE >= everyone * RARE:  # there are enough in a sample
        scope, factor = _sample()
        matching, number = matching.filter(scope), round(number / factor)
    return Audience(kinds, everyone, False, _some(matching, number))


def audience_of_some(clients: ClientQuerySet, number: int) -> Audience:
    """Return an audience of so many, given some of its clients, which are few enough to count."""
    kinds = _kinds(clients)
    found = kinds.total()
    is_estimate = number > found
    if is_estimate and found:
        kinds = _scaled(kinds, number / found)
    return Audience(kinds, tally.number_of({}), is_estimate, _some(clients, found))


def _estimated(matching: ClientQuerySet, everyone: int) -> Audience:
    scope, factor = _sample()
    sampled = matching.filter(scope)
    kinds = _kinds(sampled)
    if kinds.total() < RARE and (few := _few(matching, everyone)):
        return few
    return Audience(_scaled(kinds, factor), everyone, True, _some(sampled, kinds.total()))


def _few(matching: ClientQuerySet, everyone: int) -> Audience | None:
    """Return the audience if it is found in a moment and no larger than COUNTED."""
    try:
        with time_limit(PATIENCE):
            kinds = _kinds(matching.filter(pk__in=matching.order_by().values("pk")[: COUNTED + 1]))
            if kinds.total() > COUNTED:
                return None
            return Audience(kinds, everyone, False, _some(matching, kinds.total()))
    except TookTooLong:
        return None


def _sample() -> tuple[Q, float]:
    """Return the condition of the sample, and how many ids stand for one in it."""
    ends = Client.objects.aggregate(first=Min("pk"), last=Max("pk"))
    first, span = ends["first"], ends["last"] - ends["first"] + 1
    size = SAMPLE // SLICES
    scope = Q()
    for number in range(SLICES):
        # Each somewhere else in its share of the ids, or what comes at intervals would be missed.
        shift = (span / SLICES - size) * (number * GOLDEN_RATIO % 1)
        begin = first + span * number // SLICES + int(shift)
        scope |= Q(pk__gte=begin, pk__lt=begin + size)
    return scope, span / (size * SLICES)


def _kinds(matching: ClientQuerySet) -> Kinds:
    rows = matching.order_by().values_list(*KEYS).annotate(number=Count("pk"))
    kinds: Kinds = Counter()
    for *values, number in rows:
        operator_code, tag, zone = map(str, values)
        kinds[operator_code, tag, zone] += number
    return kinds


def _scaled(kinds: Kinds, factor: float) -> Kinds:
    return Counter({kind: round(number * factor) for kind, number in kinds.items()})


def _some(matching: ClientQuerySet, number: int) -> list[int]:
    """Return ids of up to about SOME of so many clients."""
    step = max(1, number // SOME)
    spread = matching.alias(place=F("pk") % step).filter(place=0)
    return list(spread.order_by().values_list("pk", flat=True)[: 2 * SOME])
