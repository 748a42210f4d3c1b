"""Counts of mailings' messages: of closed mailings the final ones, of all others counted now."""

from collections import Counter
from collections.abc import Iterable, Mapping

from django.db.models import CharField, Count, QuerySet, Sum, Value
from django.db.models.functions import Cast, Coalesce

from mailings.models import Mailing
from messages_app.models import Message
from messages_app.stats import complete_counts

ByTimezone = Mapping[str, Mapping[str, int]]  # messages by the client's zone and by status

UNKNOWN_ZONE = "unknown"  # of messages whose client was deleted


def mailing_stats(mailings: Iterable[Mailing]) -> list[dict[str, object]]:
    """Return each mailing with its messages by status, in at most one query."""
    mailings = list(mailings)
    ids = [mailing.pk for mailing in mailings if mailing.success_count is None]
    counted = Message.objects.filter(mailing__in=ids).count_by_mailing() if ids else {}
    return [_stats(mailing, counted.get(mailing.pk, {})) for mailing in mailings]


def timezone_stats(mailing: Mailing) -> dict[str, object]:
    """Return one mailing with its messages by status, in total and by their clients' time zones.

    Zones with most messages come first. Totals and zones come from one query, so that they add up
    while messages are being sent.
    """
    zones: ByTimezone | None = mailing.timezone_counts
    if zones is None:
        zones = count_by_timezone(Message.objects.filter(mailing=mailing))
    by_size = sorted(zones.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    return {
        **_stats(mailing, totals_of(zones)),
        "timezones": {zone: complete_counts(by_status) for zone, by_status in by_size},
    }


def count_by_timezone(messages: QuerySet[Message]) -> dict[str, dict[str, int]]:
    """Return {client's time zone: {status: number of messages}}, in one query."""
    zones: dict[str, dict[str, int]] = {}
    # As text, because the field refuses the name of a zone that this machine does not have.
    zone = Coalesce(Cast("client__timezone", CharField()), Value(UNKNOWN_ZONE))
    rows = messages.order_by().values_list(zone, "status").annotate(Count("pk"))
    for name, status, number in rows:
        zones.setdefault(name, {})[status] = number
    return zones


def totals_of(zones: ByTimezone) -> dict[str, int]:
    """Return the counts of all time zones together, by status and with "total"."""
    by_status: Counter[str] = Counter()
    for of_zone in zones.values():
        by_status.update(of_zone)
    return complete_counts(by_status)


def totals() -> dict[str, int]:
    """Return the messages of all mailings by status, with "total".

    It is one query, so that a mailing that is being closed meanwhile counts exactly once.
    """
    open_ones = Message.objects.filter(mailing__success_count=None).order_by()
    closed = Mailing.objects.closed().order_by()
    rows = (
        open_ones.values_list("status")
        .annotate(Count("pk"))
        .union(
            closed.values_list(Value("success")).annotate(Sum("success_count", default=0)),
            closed.values_list(Value("fail")).annotate(Sum("fail_count", default=0)),
            all=True,
        )
    )
    by_status: Counter[str] = Counter()
    for status, number in rows:
        by_status[status] += number
    return complete_counts(by_status)


def _stats(mailing: Mailing, counted: Mapping[str, int]) -> dict[str, object]:
    return {
        "id": mailing.pk,
        "status": mailing.status,
        "start_time": mailing.start_time,
        "stop_time": mailing.stop_time,
        "last_run_time": mailing.last_run_time,
        "stats": _final(mailing) or complete_counts(counted),
    }


def _final(mailing: Mailing) -> dict[str, int] | None:
    if mailing.success_count is None or mailing.fail_count is None:
        return None
    return complete_counts({"success": mailing.success_count, "fail": mailing.fail_count})
