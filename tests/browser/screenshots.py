"""`make screenshots`: every page of the console by day, by night, on a phone and on paper.

They are in var/pictures, in English and Russian, to be looked at by whoever changes pages; those of
the docs are taken anew, too. What they show has really happened (seed.py). pytest runs this file
only by its name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image
from playwright.sync_api import Page, ViewportSize

from mailing_manager_project.environment import BASE_DIR
from tests.browser.installations import Filled, log_in
from tests.browser.pages import DESKTOP, PHONE, visit, visit_all

PICTURES = BASE_DIR / "var" / "pictures"
DOCS = BASE_DIR / "docs" / "images"
LOOKS: dict[str, tuple[ViewportSize, Literal["light", "dark"]]] = {
    "light": (DESKTOP, "light"),
    "dark": (DESKTOP, "dark"),
    "phone": (PHONE, "light"),
}
ZONE = "Europe/Moscow"


@pytest.mark.timeout(0)
@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_page_is_pictured(
    filled: Filled, language: str, new_page: Callable[..., Page], complaints: list[str]
) -> None:
    page = new_page(filled.url, locale=language, timezone_id=ZONE, viewport=DESKTOP)
    folder = PICTURES / language
    folder.mkdir(parents=True, exist_ok=True)
    visit(page, "/admin/login/")
    take(page, folder / "login")
    log_in(page, "anna")
    for seen in visit_all(page, filled.found):
        if seen.is_page:
            take(page, folder / seen.address.strip("/").replace("/", "-"))
    complaints.clear()  # of addresses that are no pages


def test_the_pictures_of_the_docs_are_taken(filled: Filled, new_page: Callable[..., Page]) -> None:
    page = new_page(filled.url, locale="en", timezone_id=ZONE, viewport=DESKTOP)
    log_in(page, "oleg")
    picture(page, "console-overview")
    page.get_by_role("link", name="Last summer sale").click()
    picture(page, "console-mailing")
    page.goto("/admin/mailings/mailing/")
    page.get_by_role("link", name="Autumn collection").click()
    page.goto(page.url.replace("/change/", "/review/"))
    picture(page, "console-review")
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    page.goto("/admin/mailings/mailing/")
    picture(page, "console-phone")


def take(page: Page, name: Path) -> None:
    """Take a picture of all of the page that is open in each look, and print it."""
    page.wait_for_load_state("networkidle")
    for look, (viewport, scheme) in LOOKS.items():
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=scheme)
        page.locator(f"html{'.dark' if scheme == 'dark' else ':not(.dark)'}").wait_for()
        # As high as it is, so that what stays at the bottom of a window covers nothing.
        height: int = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size(
            {"width": viewport["width"], "height": max(height, viewport["height"])}
        )
        page.screenshot(path=f"{name}-{look}.png")
    page.pdf(path=f"{name}.pdf", format="A4")
    page.set_viewport_size(DESKTOP)
    page.emulate_media(color_scheme="light")


def picture(page: Page, name: str) -> None:
    """Take a picture of the window for the docs, in 256 colours that keep the rare ones."""
    page.wait_for_load_state("networkidle")
    path = DOCS / f"{name}.png"
    page.screenshot(path=path)
    with Image.open(path) as taken:
        small = taken.convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE, kmeans=1)
    small.save(path, optimize=True)
