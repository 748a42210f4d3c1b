"""An upgrade to our code from older code, step by step as docs/operations.md says, under load."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import pytest

from mailing_manager_project.launcher import programs
from tests.faults.conftest import BROKERS, make_template
from tests.faults.installation import Figures, Site
from tests.faults.old_code import lay_out
from tests.faults.rest_api import RestApi
from tests.faults.sizes import size
from tests.servers import free_port, running_postgres

pytestmark = pytest.mark.faults

CALLERS = 4
WORKERS = ("mailings", "messages")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "old")


@pytest.fixture
def site(
    old: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    figures: Figures,
    dice: Random,
) -> Iterator[Site]:
    """Return an installation whose database the old code has made."""
    with ExitStack() as resources:
        postgres = resources.enter_context(running_postgres())
        made, token = make_template(postgres, tmp_path_factory, "postgres", old)
        yield Site(
            tmp_path,
            made.url,
            postgres=postgres,
            broker_server=resources.enter_context(BROKERS["redis"]()),
            token=token,
            figures=figures,
            dice=dice,
            resources=resources,
        )


class Caller:
    """A program that uses the API all the time, and takes every answer seriously."""

    def __init__(self, number: int, rest: RestApi) -> None:
        self.clients: list[int] = []  # that it was told exist
        self.mailings: list[int] = []
        self.calls = 0
        self.error: BaseException | None = None
        self.rest = rest.another()
        self._name = f"caller-{number}"
        self._phone_numbers = iter(range(78_000_000_000 + number * 1_000_000, 78_100_000_000))

    def run(self, is_over: Event) -> None:
        """Write and read until it is over, or until the first error, which is kept."""
        try:
            while not is_over.is_set():
                if len(self.clients) % 20 == 0:
                    self._add_mailing()
                self._add_client()
                self._look_and_change()
        except BaseException as error:
            self.error = error

    def _add_client(self) -> None:
        made = self._call(
            "POST", "clients/", phone_number=str(next(self._phone_numbers)), tag=self._name
        )
        self.clients.append(made["id"])

    def _add_mailing(self) -> None:
        self.mailings.append(self.rest.create_mailing(filters={"tag": "nobody"}))

    def _look_and_change(self) -> None:
        client, mailing = self.clients[-1], self.mailings[-1]
        self._call("PATCH", f"clients/{client}/", operator_code="901")
        assert self._call("GET", f"clients/{client}/")["operator_code"] == "901"
        self._call("PATCH", f"mailings/{mailing}/", text=f"Edited by {self._name}")
        for path in (f"mailings/{mailing}/stats/", "mailings/stats/", "messages/?status=success"):
            self._call("GET", path)

    def _call(self, method: str, path: str, **fields: object) -> Any:
        self.calls += 1
        return self.rest.call(method, path, **fields)


def test_an_upgrade_under_load_answers_every_request_and_loses_nothing(
    site: Site, old: Path
) -> None:
    """Migrate below the old programs, then put ours in their place one by one, the web first."""
    mailings, number = size(5, 20), size(5_000, 40_000)
    site.sandbox.set_faults(latency=0.02, jitter=0.01)
    site.add_clients(number, groups=mailings)
    site.start(code=old)
    callers = [Caller(each, site.rest) for each in range(CALLERS)]
    is_over = Event()
    with ThreadPoolExecutor(CALLERS) as threads:
        for caller in callers:
            threads.submit(caller.run, is_over)
        try:
            for mailing in _steps(site, callers, mailings):
                site.send_group(mailing, number // mailings)
        finally:
            is_over.set()
    assert [caller.error for caller in callers] == [None] * CALLERS
    site.figures["mailings"] = mailings
    site.figures["requests"] = sum(caller.calls for caller in callers)
    site.finish_sending(number)
    kept = {pk for (pk,) in site.query("SELECT id FROM clients_client WHERE tag LIKE 'caller-%'")}
    assert kept == {pk for caller in callers for pk in caller.clients}
    kept = {pk for (pk,) in site.query("SELECT id FROM mailings_mailing WHERE text LIKE 'Edited%'")}
    assert kept == {pk for caller in callers for pk in caller.mailings}


def _steps(site: Site, callers: list[Caller], number: int) -> Iterator[int]:
    """Yield the numbers of so many mailings, a fifth of them after each step.

    What is sent meanwhile is on its way when the next step is taken.
    """
    steps = (_wait, _migrate, _replace_web, _add_workers, _end_old_workers)
    share = number // len(steps)
    for each, step in enumerate(steps):
        step(site, callers)
        yield from range(each * share, (each + 1) * share)


def _wait(site: Site, callers: list[Caller]) -> None:
    """Have every program call the API some more, and none be refused."""
    before = [caller.calls for caller in callers]

    def have_gone_on() -> bool:
        assert not [caller.error for caller in callers if caller.error]
        return all(now.calls > then + 10 for now, then in zip(callers, before, strict=True))

    site.wait_for(have_gone_on)


def _migrate(site: Site, callers: list[Caller]) -> None:
    site.manage("migrate", "-v0")
    _wait(site, callers)


def _replace_web(site: Site, callers: list[Caller]) -> None:
    """Start our web server, send everybody there, and end the old one when nobody asks it."""
    port = free_port()
    web = programs.web("127.0.0.1", port)
    site.keeper.keep(web, "new web")
    site.wait_for(web.answers)
    for rest in (site.rest, *(caller.rest for caller in callers)):
        rest.port = port
    _wait(site, callers)
    site.keeper.end("web")


def _add_workers(site: Site, callers: list[Caller]) -> None:
    for name in WORKERS:
        site.keeper.keep(site.keeper.program(name), f"new {name}")


def _end_old_workers(site: Site, callers: list[Caller]) -> None:
    for name in (*WORKERS, "beat"):
        site.keeper.end(name)
    site.keeper.keep(programs.beat(), "new beat")
