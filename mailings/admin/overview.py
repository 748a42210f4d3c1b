"""The console's first page: the mailings that are running or paused."""

from typing import Any

from django.db.models import Count
from django.http import HttpRequest
from django.utils import timezone

from mailings.admin import labels
from mailings.admin.counts import bar, counts_of
from mailings.models import Mailing
from mailings.stats import mailing_stats, may_be_incomplete
from messages_app.admin.labels import health_labels

SHOWN = 8  # mailings under way
LOOKED_AT = 50  # newest ones that may be, to find them among

Status = Mailing.Status


def _under_way() -> list[Mailing]:
    """Return the newest that are running or paused, without those of which all is sent."""
    under_way = Mailing.objects.filter(status__in=(Status.RUNNING, Status.PAUSED))
    newest = under_way.filter(may_be_incomplete())[:LOOKED_AT]
    stats = zip(newest, mailing_stats(newest), strict=True)
    return [mailing for mailing, of_it in stats if not of_it["is_complete"]][:SHOWN]


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return the first page's context; only users who may see mailings see any."""
    if not request.user.has_perm("mailings.view_mailing"):
        return context
    by_status = dict(Mailing.objects.order_by().values_list("status").annotate(Count("pk")))
    now = timezone.now()
    mailings = _under_way()
    return {
        **context,
        "statuses": [
            {"value": status, "name": status.label, "number": by_status.get(status, 0)}
            for status in Status
        ],
        "under_way": [
            {
                "pk": mailing.pk,
                "text": labels.excerpt(mailing.text, 90),
                "state": labels.status_label(mailing),
                "audience": labels.audience(mailing),
                "next_event": labels.next_event(mailing, now),
                "bar": bar(counts),
            }
            for mailing, counts in zip(mailings, counts_of(mailings), strict=True)
        ],
        "signs": health_labels(context["component_health"]),
        "may_add": request.user.has_perm("mailings.add_mailing"),
    }
