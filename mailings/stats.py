"""Counts of mailings that always add up: open ones are counted, closed ones were."""

from collections.abc import Iterable

from django.db.models import Sum

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
    """Return what the messages of all mailings have come to, in two queries."""
    closed = Mailing.objects.closed().aggregate(
        success=Sum("success_count", default=0), fail=Sum("fail_count", default=0)
    )
    live = Message.objects.filter(mailing__success_count=None).count_by_status()
    return counts(
        {status: live.get(status, 0) + closed.get(status, 0) for status in Message.Status.values}
    )


def _final(mailing: Mailing) -> dict[str, int] | None:
    if mailing.success_count is None or mailing.fail_count is None:
        return None
    return counts({"success": mailing.success_count, "fail": mailing.fail_count})
