"""What the programs do and say while the database is away: they wait, with one line."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep

import psycopg
import pytest
import requests
from celery import Celery
from kombu import Connection

from mailing_manager_project.environment import BASE_DIR
from mailing_manager_project.launcher import programs
from mailing_manager_project.launcher.process import Program
from tests.faults.keeper import Keeper
from tests.log import read
from tests.servers import PostgresServer, free_port, running_postgres, running_redis

PATIENCE = 60  # seconds; the machine may be busy with other tests
AGAIN = "The database answers again."


class Programs:
    """Programs as main.py starts them, on a Postgres that may be away."""

    def __init__(self, folder: Path, postgres: PostgresServer, broker_url: str) -> None:
        self.postgres = postgres
        self._folder = folder
        self._environment = {
            **os.environ,
            "VAR_DIR": str(folder),
            "DATABASE_URL": postgres.url,
            "CELERY_BROKER_URL": broker_url,
        }
        self.keeper = Keeper(folder, self._environment)
        self._broker_url = broker_url

    def migrate(self) -> None:
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v0"],
            cwd=BASE_DIR,
            env=self._environment,
            check=True,
        )

    def said(self, program: Program) -> str:
        return (self._folder / f"{program.name}.log").read_text()

    def warnings(self, program: Program) -> list[str]:
        """Return what a program has warned of."""
        events = read(self._folder / f"{program.name}.log")
        return [event["event"] for event in events if event["level"] != "info"]

    def tell_worker(self, task: str, times: int) -> None:
        """Queue a task so often."""
        app = Celery(set_as_current=False)
        with Connection(self._broker_url) as broker:
            for _ in range(times):
                app.send_task(task, queue="mailings", ignore_result=True, connection=broker)

    def heartbeat(self, name: str) -> object:
        """Return when a part of the program was last at work."""
        with psycopg.connect(self.postgres.url) as connection:
            sql = "SELECT max(at) FROM messages_app_heartbeat WHERE name = %s"
            row = connection.execute(sql, [name]).fetchone()
            return row and row[0]

    def wait_for(self, condition: Callable[[], object]) -> None:
        deadline = monotonic() + PATIENCE
        while not condition():
            logs = "\n".join(log.read_text() for log in self._folder.glob("*.log"))
            assert monotonic() < deadline, logs
            sleep(0.05)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Programs]:
    """Return programs that are not started yet, on an empty database."""
    with ExitStack() as resources:
        postgres = resources.enter_context(running_postgres(fsync="off"))
        broker = resources.enter_context(running_redis())
        programs = Programs(tmp_path, postgres, broker.url)
        resources.callback(programs.keeper.stop)
        yield programs


@pytest.mark.flow
def test_beat_waits_for_the_database_and_for_its_tables(installation: Programs) -> None:
    beat = programs.beat()

    def said() -> str:
        return installation.said(beat)

    installation.postgres.crash()
    installation.keeper.keep(beat)
    installation.wait_for(lambda: "Beat waits for the database." in said())
    installation.postgres.start()
    installation.wait_for(lambda: "Beat waits for 'python manage.py migrate'" in said())
    installation.migrate()
    installation.wait_for(lambda: installation.heartbeat("beat"))
    begun = installation.heartbeat("beat")

    installation.postgres.crash()
    installation.wait_for(lambda: said().count("Beat waits for the database.") == 2)
    installation.postgres.start()
    installation.wait_for(lambda: installation.heartbeat("beat") != begun)

    assert len(installation.warnings(beat)) == 5, said()
    assert said().count(AGAIN) == 2
    assert installation.keeper.starts["beat"] == 1


@pytest.mark.flow
def test_beat_can_be_stopped_while_it_waits_for_the_database(installation: Programs) -> None:
    beat = programs.beat()
    installation.postgres.crash()
    installation.keeper.keep(beat)
    installation.wait_for(lambda: "Beat waits for the database." in installation.said(beat))

    process = installation.keeper.process(beat.name)
    installation.keeper.end(beat.name)

    assert not process.is_running()


@pytest.mark.flow
def test_web_server_and_worker_start_and_wait_without_a_database(installation: Programs) -> None:
    port = free_port()
    web = programs.web("127.0.0.1", port)
    worker = programs.worker("mailings", processes=1)
    installation.migrate()
    installation.postgres.crash()
    installation.keeper.keep(web)
    installation.keeper.keep(worker)
    session = requests.Session()
    session.trust_env = False
    # Neither is known, which only the database can tell.
    session.headers["Authorization"] = f"Token {'f' * 64}"
    session.cookies["sessionid"] = "f" * 32

    def status(path: str) -> int:
        try:
            return session.get(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE).status_code
        except requests.ConnectionError:
            return 0

    paths = ("/health/", "/admin/", "/api/v1/mailings/")
    for outage in (1, 2):
        installation.wait_for(lambda: status("/health/"))
        assert all(status(path) >= 500 for path in paths * 5)
        installation.tell_worker("start_mailing", 5)
        installation.wait_for(lambda: installation.said(worker).count("Planning waits") == outage)  # noqa: B023  # called at once
        installation.postgres.start()
        installation.wait_for(lambda: status("/health/") == 200)
        installation.tell_worker("start_mailing", 5)
        installation.wait_for(lambda: installation.said(worker).count(AGAIN) == outage)  # noqa: B023  # called at once
        if outage == 1:
            installation.postgres.crash()
    assert len(installation.warnings(worker)) == 4, installation.said(worker)
    assert "Traceback" not in installation.said(web)
    # Each of its two processes has lines of its own.
    assert len(installation.warnings(web)) <= 8, installation.said(web)
    assert set(installation.keeper.starts.values()) == {1}
