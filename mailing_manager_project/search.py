"""The console's search: one field on every page, for clients, mailings, tags and pages.

It stands here, above the rooms, because it looks into several. Who may not see a room finds nothing
of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from clients.finding import find_clients, find_tags
from mailings.finding import find_mailings

MOST = 8  # hits of a kind
LONGEST = 200  # characters that are looked for


@dataclass(frozen=True)
class Hit:
    """Something that was found: where it is, what it is called, and what else is known of it."""

    kind: str
    address: str
    name: str
    about: str = ""


@require_GET
def find(request: HttpRequest) -> HttpResponse:
    """Answer with what a text finds: the list for the field, or a page; a single hit is opened."""
    text = request.GET.get("q", "").replace("\0", "").strip()[:LONGEST]
    hits = list(hits_of(request, text)) if text else []
    context: dict[str, Any] = {"hits": hits, "text": text}
    if "HX-Request" in request.headers:
        return render(request, "admin/find/results.html", context)
    if len(hits) == 1:
        return redirect(hits[0].address)
    context |= {**admin.site.each_context(request), "title": _("Search"), "is_find_page": True}
    return render(request, "admin/find/page.html", context)


def hits_of(request: HttpRequest, text: str) -> Iterator[Hit]:
    """Yield what a text finds, of all that somebody may see."""
    may_see = request.user.has_perm
    if may_see("clients.view_client"):
        yield from _clients(text)
    if may_see("mailings.view_mailing"):
        yield from _mailings(text)
    if may_see("clients.view_client"):
        yield from _tags(text)
    yield from _pages(request, text)


def _clients(text: str) -> Iterator[Hit]:
    for client in find_clients(text, most=MOST):
        address = reverse("admin:clients_client_change", args=[client.pk])
        about = " · ".join(filter(None, [client.tag, str(client.timezone)]))
        yield Hit(_("Client"), address, str(client), about)


def _mailings(text: str) -> Iterator[Hit]:
    for mailing in find_mailings(text, most=MOST):
        address = reverse("admin:mailings_mailing_change", args=[mailing.pk])
        about = f"{mailing.get_status_display()} · {Truncator(mailing.text).chars(80)}"
        yield Hit(_("Mailing"), address, str(mailing), about)


def _tags(text: str) -> Iterator[Hit]:
    for tag in find_tags(text, most=MOST):
        address = f"{reverse('admin:clients_client_changelist')}?{urlencode({'tag': tag})}"
        yield Hit(_("Tag"), address, tag, _("clients with this tag"))


def _pages(request: HttpRequest, text: str) -> Iterator[Hit]:
    """Yield the pages of the sidebar whose names begin with a text."""
    site: Any = admin.site  # Unfold's
    for group in site.get_sidebar_list(request):
        for item in group["items"]:
            if str(item["title"]).casefold().startswith(text.casefold()):
                yield Hit(_("Page"), str(item["link"]), str(item["title"]))
