"""Counts of mailings that always add up: open ones are counted, closed ones were."""

from collections import Counter
from collections.abc import Iterable

from django.db.models import Count, Sum, Value

from mailings.models import Mailing
from messages_app.models import Message
from messages_app.stats import counts


def mailing_stats(mailings: Iterable[Mailing]) -> list[dict[str, object]]:
    """Return what each mailing's messages have come to, in at most one query."""
    mailings = list(mailings)
    ids = [mailing.pk for mailing in mailings if mailing.success_count is None]
    counted = Message.objects.filter(mailing__in=ids).count_by_mailing() if ids else {}
    return [
        {
            "id": mailing.pk,
            "status": mailing.status,
            "start_time": mailing.start_time,
            "stop_time": mailing.stop_time,
            "last_run_time": mailing.last_run_time,
            "stats": _final(mailing) or counts(counted.get(mailing.pk, {})),
        }
        for mailing in mailings
    ]


def totals() -> dict[str, int]:
    """Return what the messages of all mailings have come to.

    It is one query, so that a mailing that is just being closed counts exactly once.
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
    return counts(by_status)


def _final(mailing: Mailing) -> dict[str, int] | None:
    if mailing.success_count is None or mailing.fail_count is None:
        return None
    return counts({"success": mailing.success_count, "fail": mailing.fail_count})
