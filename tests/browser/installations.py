"""Whole installations for the browser: web server, beat, a worker, and the sandbox sender."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from playwright.sync_api import Page

from tests.browser import seed
from tests.installation import Installation, Template
from tests.sandbox import Sandbox
from tests.servers import private_redis
from webhooks.tests.receiver import running_receiver

ADD_USERS = "from tests.browser import seed; seed.add_users()"


class Site(NamedTuple):
    """An installation that runs, with users: the address of its web server, and its sandbox."""

    url: str
    sandbox: Sandbox


class Filled(NamedTuple):
    """One in which everything has happened: its address, and {model: ids of rows to look at}."""

    url: str
    found: dict[str, list[Any]]


@contextmanager
def running_site(folder: Path, **environment: str) -> Iterator[Site]:
    """Run an installation that has nothing but users."""
    with _running(folder, **environment) as (installation, url):
        installation.run(ADD_USERS)
        yield Site(url, installation.sandbox)


@contextmanager
def filled_site(folder: Path) -> Iterator[Filled]:
    """Run an installation in which everything has happened."""
    with (
        _running(folder, **seed.ENVIRONMENT) as (installation, url),
        running_receiver() as takes,
        running_receiver() as gone,
    ):
        gone.status = 410
        hosts = (installation.sandbox.control_url, takes.url, gone.url)
        said = installation.run(f"from tests.browser import seed; seed.fill{hosts}")
        yield Filled(url, json.loads(said))


@contextmanager
def _running(folder: Path, **environment: str) -> Iterator[tuple[Installation, str]]:
    with ExitStack() as resources:
        broker = resources.enter_context(private_redis())
        database = Template(f"sqlite:///{folder}/db.sqlite3").url
        installation = Installation(folder, database, broker, resources)
        installation.environment |= environment
        installation.start_worker()
        installation.start_beat()
        yield installation, f"http://127.0.0.1:{installation.start_web()}"


def log_in(page: Page, name: str) -> None:
    """Log somebody in who was seeded."""
    page.goto("/admin/login/")
    page.locator("#id_username").fill(name)
    page.locator("#id_password").fill(seed.PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: urlsplit(url).path == "/admin/")
