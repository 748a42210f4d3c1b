"""The console's first page: the mailings that are running or paused."""

from typing import Any

from django.db.models import Count
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse

from mailings.admin.rows import Row, rows_of
from mailings.models import Mailing
from mailings.stats import may_be_incomplete
from messages_app.admin.labels import health_labels
from messages_app.admin.now import sending_now
from messages_app.admin.sender import banner_parts
from toolkit.console.live import Live

SHOWN = 20  # mailings under way
LOOKED_AT = 50  # newest ones that may be, to find them among
TEMPLATES = "admin/mailings"

Status = Mailing.Status


def _under_way(request: HttpRequest) -> list[Row]:
    """Return the newest that are running or paused, without those of which all is sent."""
    under_way = Mailing.objects.filter(status__in=(Status.RUNNING, Status.PAUSED))
    newest = list(under_way.filter(may_be_incomplete())[:LOOKED_AT])
    return [row for row in rows_of(newest, sending_now(request)) if not row.progress.is_complete]


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return the first page's context; only users who may see mailings see any."""
    if not request.user.has_perm("mailings.view_mailing"):
        return context
    return {**context, **_found(request)}


def live_overview(request: HttpRequest) -> Live:
    """Return the parts of the first page that are kept up to date."""
    live: Live = _found(request)["live"]
    return live


def _found(request: HttpRequest) -> dict[str, Any]:
    """Return all that the first page says, and its parts."""
    by_status = dict(Mailing.objects.order_by().values_list("status").annotate(Count("pk")))
    under_way = _under_way(request)
    found: dict[str, Any] = {
        "statuses": [
            {"value": status, "name": status.label, "number": by_status.get(status, 0)}
            for status in Status
        ],
        "under_way": [row.in_full for row in under_way[:SHOWN]],
        "more": max(0, len(under_way) - SHOWN),
        "signs": health_labels(sending_now(request).signs),
        "may_add": request.user.has_perm("mailings.add_mailing"),
    }
    parts = {
        name: render_to_string(f"{TEMPLATES}/{name}.html", found, request)
        for name in ("statuses", "signs", "under_way")
    }
    return found | {
        "live": Live(
            {**banner_parts(request), **parts},
            address=reverse("admin:mailings_mailing_overview"),
        )
    }
