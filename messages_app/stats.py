"""Counts of messages: the statuses always add up to the total."""

from collections.abc import Mapping

from django.db.models import Count, QuerySet

from messages_app.models import Message


def complete_counts(by_status: Mapping[str, int]) -> dict[str, int]:
    """Return {status: number of messages} with zeros, and "total"."""
    known = {status: by_status.get(status, 0) for status in Message.Status.values}
    return {**known, "total": sum(known.values())}


def message_stats(messages: QuerySet[Message]) -> dict[str, object]:
    """Return counts of messages by status, and of failed ones by error code, in one query."""
    by_status: dict[str, int] = {}
    error_codes: dict[str, int] = {}
    rows = messages.order_by().values_list("status", "error_code").annotate(Count("pk"))
    for status, error_code, number in rows:
        by_status[status] = by_status.get(status, 0) + number
        if status == Message.Status.FAIL:
            error_codes[error_code] = number
    return {**complete_counts(by_status), "error_codes": error_codes}
