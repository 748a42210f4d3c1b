"""One browser for all tests of the package, and pages that tell what is wrong with them."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client as DjangoClient
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from tests.browser.chromium import running_chromium
from tests.browser.installations import Filled, filled_site

PATIENCE = 20_000  # milliseconds; the machine may be busy with other tests
HERE = Path(__file__).parent


@pytest.hookimpl(trylast=True)  # after they were put in random order
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests of this package: the longest of all would else be waited for alone."""
    items.sort(key=lambda item: item.path.parent != HERE)


# A package's, for while Playwright runs, nothing else in this thread can run an event loop.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Run the browser."""
    with pytest.MonkeyPatch.context() as environment, running_chromium() as browser:
        # Playwright keeps an event loop running in this thread, where the tests use the ORM.
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        expect.set_options(timeout=PATIENCE)
        yield browser


@pytest.fixture(scope="package")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """Run an installation in which everything has happened."""
    with filled_site(tmp_path_factory.mktemp("filled")) as filled:
        yield filled


@pytest.fixture
def complaints() -> list[str]:
    """Return what browsers find wrong: errors of scripts and servers, and foreign hosts."""
    return []


@pytest.fixture
def new_page(chromium: Browser, complaints: list[str]) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page of a server, and fails if anything was wrong with it."""
    contexts = []

    def new_page(url: str, **options: Any) -> Page:
        context = chromium.new_context(base_url=url, **options)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        watch(page, urlsplit(url).netloc, complaints)
        return page

    yield new_page
    for context in contexts:
        context.close()
    assert complaints == []


def watch(page: Page, host: str, complaints: list[str]) -> None:
    """Note what is wrong with a page: what its console says, refused policies among it."""

    def note(is_wrong: object, what: object) -> None:
        if is_wrong:
            complaints.append(f"{page.url}: {what}")

    page.on("pageerror", lambda error: note(True, error))
    page.on("console", lambda line: note(line.type in ("error", "warning"), line.text))
    page.on("response", lambda answer: note(answer.status >= 400, (answer.status, answer.url)))
    page.on("request", lambda request: note(_is_foreign(request.url, host), request.url))


def _is_foreign(url: str, host: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in ("data", "blob") and parts.netloc != host


@pytest.fixture
def open_page(new_page: Callable[..., Page], live_server: LiveServer) -> Callable[..., Page]:
    """Return a function that opens a page of the server that shares the test's database."""
    return partial(new_page, live_server.url)


@pytest.fixture
def operator(transactional_db: None) -> User:
    """Return a superuser."""
    return User.objects.create_superuser("operator", password="Long-enough-1")


@pytest.fixture
def enter(
    open_page: Callable[..., Page], operator: User, live_server: LiveServer
) -> Callable[..., Page]:
    """Return a function that opens a page of somebody who is logged in."""

    def enter(**options: Any) -> Page:
        session = DjangoClient()
        session.force_login(operator)
        page = open_page(**options)
        cookie = session.cookies["sessionid"].value
        page.context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        return page

    return enter
