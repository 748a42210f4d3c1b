"""The pages of the console, found by the addresses of its admin site: also those yet to come."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.contrib import admin
from django.urls import reverse
from playwright.sync_api import Page, ViewportSize

DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
# Of these the page of each row that was found is opened, of others that of the first.
DIFFERENT = ("change", "review")
# Django's own: pages, or refused with one.
USUAL = ("_changelist", "_add", "_change", "_history", "_delete")
ANSWERED = (200, 405)  # Others may be what such an address says of other rows.
# Whose rows are meant by addresses that are not named after them.
MODELS = {"clients_client_changing": "clients.clientchange"}
NO_PAGES = {"clients_client_suggest", "view_on_site"}

Found = dict[str, list[Any]]  # {model: ids of rows}


class Visit(NamedTuple):
    """What was found at an address: an HTTP status, and whether it is a page."""

    address: str
    status: int
    is_page: bool = False


def visit(page: Page, address: str) -> Visit:
    """Go to an address."""
    answer = page.goto(address)
    if answer is None:
        raise AssertionError(f"Nothing was loaded from {address}.")
    is_here = answer.ok and urlsplit(answer.url).path == address
    return Visit(address, answer.status, is_here)


def visit_all(page: Page, found: Found) -> Iterator[Visit]:
    """Go to every page of the console, and yield what is at each of its addresses.

    Pages of rows that look alike are visited once.
    """
    for name, parameters in _names(admin.site.get_urls()):
        if name in NO_PAGES:
            continue
        rows: list[tuple[Any, ...]] = _rows(name, found) if parameters else [()]
        for row in rows:
            seen = _visit(page, name, reverse(f"admin:{name}", args=row))
            yield seen
            if seen.status in ANSWERED and not name.endswith(DIFFERENT):
                break


def _visit(page: Page, name: str, address: str) -> Visit:
    """Go to an address if there is a page: neither a file, nor a part of a page, nor nothing."""
    if not name.endswith(USUAL):
        answer = page.request.get(address, max_redirects=0)
        if not answer.ok or not answer.body().lstrip().lower().startswith(b"<!doctype html"):
            return Visit(address, answer.status)
    return visit(page, address)


def _names(patterns: Any) -> Iterator[tuple[str, list[str]]]:
    for each in patterns:
        if hasattr(each, "url_patterns"):
            yield from _names(each.url_patterns)
        elif each.name:
            yield each.name, list(each.pattern.regex.groupindex)


def _rows(name: str, found: Found) -> list[tuple[Any, ...]]:
    if name == "app_list":
        return [(label,) for label in sorted({model.partition(".")[0] for model in found})]
    of = [each for each in found if name.startswith(f"{each.replace('.', '_')}_")]
    return [(pk,) for pk in found[MODELS.get(name) or max(of, key=len)]]
