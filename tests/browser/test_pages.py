"""Every page of the console, as an administrator sees it: by day, by night and on a phone."""

import re
from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.contrib import admin
from django.urls import Resolver404, resolve, reverse
from playwright.sync_api import Page

from tests.browser.installations import Filled, log_in
from tests.browser.pages import DESKTOP, PHONE, Visit, visit, visit_all
from tests.contract.node import PACKAGES, get_ready

AXE = PACKAGES / "axe-core" / "axe.min.js"
# What keeps somebody from using a page; the other findings of axe-core are advice.
# Colours that are on their way to others are not looked at.
LOOK = """async () => {
  await Promise.allSettled(document.getAnimations().map((each) => each.finished));
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  const bad = violations.filter((each) => ["serious", "critical"].includes(each.impact));
  return bad.flatMap((each) => each.nodes.map((node) => `${each.id}: ${node.html}`));
}"""
TOO_WIDE = "document.documentElement.scrollWidth - window.innerWidth"
SENDER = "/admin/messages_app/sendingcontrol/"  # leads to the one there is
SEARCHED = "document.querySelector('#find-field')?.value"
SHEET = re.compile(rb"/Type\s*/Page\b")  # in a PDF
LINKS = "[...document.links].map((link) => link.href)"


class Inspection:
    """A look at pages: what is wrong with them, and where their links lead."""

    def __init__(self, page: Page, complaints: list[str]) -> None:
        self.page, self.complaints = page, complaints
        self.faults: list[str] = []
        self.pages: set[str] = set()
        self.links: dict[tuple[str, ...], tuple[str, str]] = {}
        get_ready()
        page.add_init_script(path=AXE)

    def inspect(self, seen: Visit) -> None:
        """Look at the page that is open, if it is one. One load serves all looks."""
        if seen.status >= 500:
            self.faults.append(f"{seen.address}: {seen.status}")
        if not seen.is_page:
            self.complaints.clear()
            return
        self.pages.add(seen.address)
        for link in self.page.evaluate(LINKS):
            self._note_link(link, seen.address)
        if typed := self.page.evaluate(SEARCHED):
            self.faults.append(f"{seen.address} has {typed!r} in its search field")
        self._look(f"{seen.address} by day")
        self.page.emulate_media(color_scheme="dark")
        self.page.set_viewport_size(PHONE)
        self.page.locator("html.dark").wait_for(state="attached")
        self._look(f"{seen.address} by night, on a phone")
        if (width := self.page.evaluate(TOO_WIDE)) > 0:
            self.faults.append(f"{seen.address} is {width} pixels too wide for a phone")
        self.page.emulate_media(color_scheme="light")
        self.page.locator("html:not(.dark)").wait_for(state="attached")
        self.page.set_viewport_size(DESKTOP)
        self.faults += self.complaints
        self.complaints.clear()

    def print_out(self, address: str) -> None:
        """See that the page that is open is one sheet of paper."""
        if (sheets := len(SHEET.findall(self.page.pdf(format="A4")))) != 1:
            self.faults.append(f"{address} is printed on {sheets} sheets")

    def follow_links(self) -> None:
        """See that links lead somewhere: one of each kind, of those that were not visited."""
        for link, origin in self.links.values():
            if urlsplit(link).path not in self.pages:
                status = self.page.request.get(link).status
                self.faults += [f"{origin} links to {link}: {status}"] if status >= 400 else []

    def _look(self, what: str) -> None:
        self.faults += [f"{what}: {each}" for each in self.page.evaluate(LOOK)]

    def _note_link(self, link: str, origin: str) -> None:
        parts = urlsplit(link)
        if not parts.scheme.startswith("http"):
            return
        try:
            name = resolve(parts.path).view_name
        except Resolver404:
            name = parts.path
        kind = (name, *sorted(key for key, _value in parse_qsl(parts.query)))
        self.links.setdefault(kind, (link, origin))


@pytest.mark.flow
@pytest.mark.timeout(600)
def test_every_page_can_be_read_by_everybody_and_asks_nobody_else(
    filled: Filled, new_page: Callable[..., Page], complaints: list[str]
) -> None:
    page = new_page(filled.url, viewport=DESKTOP)
    inspection = Inspection(page, complaints)
    inspection.inspect(visit(page, "/admin/login/"))
    log_in(page, "anna")
    for seen in visit_all(page, filled.found):
        inspection.inspect(seen)
        if seen.is_page and resolve(seen.address).view_name == "admin:mailings_mailing_change":
            inspection.print_out(seen.address)
    lists = {
        reverse(f"admin:{each._meta.label_lower.replace('.', '_')}_changelist")
        for each in admin.site._registry
    }
    assert lists - inspection.pages == {SENDER}
    inspection.inspect(visit(page, "/admin/find/"))
    inspection.follow_links()
    assert not inspection.faults, "\n".join(inspection.faults)
