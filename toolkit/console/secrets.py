"""The page on which a secret stands, this once: a token, a first password, a webhook's secret."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers


@dataclass(frozen=True)
class Secret:
    """What is shown once, and what is said of it."""

    text: str
    title: str
    name: str  # what it is, for the label and the button
    notes: Sequence[str]  # a paragraph each
    back: str  # the address of what comes next
    back_title: str


def show_secret(request: HttpRequest, secret: Secret) -> HttpResponse:
    """Answer with a secret: it is in this page, and in no cookie, no address and no message."""
    context = {**admin.site.each_context(request), "secret": secret, "title": secret.title}
    response = TemplateResponse(request, "admin/console/secret.html", context)
    add_never_cache_headers(response)
    return response
