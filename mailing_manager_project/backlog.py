"""The backlog: what waits where, of messages, imports and webhooks, and since when."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Count, Min, QuerySet

from clients.models import ClientChange, ClientImport
from mailings.admin.rows import Row, rows_of
from mailings.models import Mailing
from mailings.stats import may_be_incomplete
from messages_app import waiting
from messages_app.admin.now import SendingNow
from messages_app.models import Doorbell, Lease
from webhooks.models import Delivery


class MailingBacklog(NamedTuple):
    """A mailing of which messages wait.

    `next_at` is when the next of its messages is due, or since when one has been. Each doorbell
    stands for a queued or running task, each lease for a delivery at work.
    """

    row: Row
    next_at: datetime | None
    doorbells: int
    leases: int


class Line(NamedTuple):
    """What else waits: how much of it, and since when."""

    name: str
    number: int
    since: datetime | None


def of_mailings(sending: SendingNow, *, most: int) -> list[MailingBacklog]:
    """Return the mailings that have begun and have messages left, the longest begun first."""
    begun = Mailing.objects.open().exclude(status=Mailing.Status.DRAFT)
    begun = begun.filter(may_be_incomplete(), start_time__lte=sending.now)
    mailings = list(begun.order_by("start_time", "pk")[:most])
    bells, leases = _by_mailing(Doorbell, mailings), _by_mailing(Lease, mailings)
    return [
        MailingBacklog(
            row,
            waiting.next_attempt_at(row.mailing.pk),
            bells.get(row.mailing.pk, 0),
            leases.get(row.mailing.pk, 0),
        )
        for row in rows_of(mailings, sending)
        if not row.progress.is_complete
    ]


def of_others() -> list[Line]:
    """Return what waits of imports, of changes of many clients, and of webhooks' deliveries.

    Few rows are counted: jobs are done one by one, and a webhook has MOST_PENDING deliveries.
    """
    waiting_rows: dict[str, tuple[QuerySet[Any], str]] = {
        "imports": (ClientImport.objects.unfinished(), "created_at"),
        "changes of clients": (ClientChange.objects.unfinished(), "created_at"),
        "webhooks": (Delivery.objects.pending(), "at"),
    }
    lines = []
    for name, (rows, since) in waiting_rows.items():
        found = rows.order_by().aggregate(number=Count("pk"), since=Min(since))
        lines.append(Line(name, found["number"], found["since"]))
    return lines


def _by_mailing(model: type[Doorbell] | type[Lease], mailings: Sequence[Mailing]) -> dict[int, int]:
    rows = model.objects.filter(mailing__in=mailings).order_by()
    return dict(rows.values_list("mailing_id").annotate(Count("pk")))
