"""What every scenario gets: an installation on servers of its own, seeded dice, a report."""

import os
import random
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import cache, partial
from pathlib import Path
from random import Random

import pytest

from mailing_manager_project.environment import BASE_DIR
from tests.faults.installation import Figures, Site
from tests.faults.report import Result, describe, write
from tests.faults.sizes import SEED
from tests.installation import Template
from tests.programs import MissingProgram, rabbitmq_executable
from tests.servers import Broker, PostgresServer, running_postgres, running_rabbitmq, running_redis

BROKERS: dict[str, Callable[[], AbstractContextManager[Broker]]] = {
    "redis": running_redis,
    "redis with a file": partial(running_redis, is_durable=True),
    "rabbitmq": running_rabbitmq,
}
ADD_OPERATOR = (
    "from django.contrib.auth.models import User; User.objects.create_superuser('faults')"
)
REPORT = pytest.StashKey[list[Result]]()
RESULT = pytest.StashKey[Result]()

Build = Callable[..., Site]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run a Postgres that loses nothing it has promised (fsync is on)."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def template(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Template, str]]:
    """Return a function that gives a kind's migrated database, and a token to its REST API."""
    return cache(partial(make_template, postgres, tmp_path_factory))


def make_template(
    postgres: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    code: Path = BASE_DIR,
) -> tuple[Template, str]:
    """Migrate an empty database, and make an operator's token to its REST API."""
    file = tmp_path_factory.mktemp("template") / "db.sqlite3"
    made = Template(postgres.url if kind == "postgres" else f"sqlite:///{file}", code)
    made.manage("shell", "-v0", "-c", ADD_OPERATOR)
    return made, made.manage("create_api_token", "faults").strip()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Return what the report will say of this scenario."""
    figures: Figures = {}
    node: pytest.Item = request.node
    node.stash[RESULT] = Result(node.name, figures=figures)
    request.config.stash.setdefault(REPORT, []).append(node.stash[RESULT])
    return figures


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> Random:
    """Return a source of chance, the same in every run with the same FAULTS_SEED."""
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture
def build(
    tmp_path: Path,
    postgres: PostgresServer,
    template: Callable[[str], tuple[Template, str]],
    figures: Figures,
    dice: Random,
) -> Iterator[Build]:
    """Return a function that builds an installation; its programs are not started yet."""
    with ExitStack() as resources:

        def build_on(kind: str = "postgres", *options: str, broker: str = "redis") -> Site:
            made, token = template(kind)
            return Site(
                tmp_path,
                made.copy(tmp_path),
                postgres=postgres,
                broker_server=resources.enter_context(BROKERS[broker]()),
                token=token,
                figures=figures,
                dice=dice,
                resources=resources,
                sandbox_options=options,
            )

        yield build_on


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how a scenario ended, and how long it took."""
    report = yield
    if report.when == "call" and RESULT in item.stash:
        item.stash[RESULT].outcome = report.outcome
        item.stash[RESULT].seconds = report.duration
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show the table, and write it where FAULTS_REPORT says."""
    results = config.stash.get(REPORT, [])
    if not results:
        return
    terminalreporter.section("faults")
    terminalreporter.write_line(describe(results))
    if path := os.environ.get("FAULTS_REPORT"):
        write(Path(path), results)


@pytest.hookimpl(trylast=True)  # after those that are not run have been left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give scenarios the time they take, and refuse to begin without a RabbitMQ for theirs."""
    scenarios = [item for item in items if item.get_closest_marker("faults")]
    for item in scenarios:
        item.add_marker(pytest.mark.timeout(3600))
    if any("[rabbitmq]" in item.name for item in scenarios):
        try:
            rabbitmq_executable()
        except MissingProgram as missing:
            pytest.exit(str(missing), returncode=pytest.ExitCode.USAGE_ERROR)
