"""The engine at work: real workers, a broker, a database and the sandbox sender."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import pytest
from celery import Celery
from kombu import Connection

from mailing_manager_project.environment import BASE_DIR
from messages_app.sender.transport import REQUEST_TIMEOUT
from tests.sandbox import TOKEN, Sandbox, running_sandbox
from tests.servers import private_postgres, private_redis

pytestmark = pytest.mark.flow

HOUR = timedelta(hours=1)
ADD_CLIENTS = """
from clients.models import Client
Client.objects.bulk_create(
    [Client(phone_number=str(79_000_000_000 + i), operator_code="900") for i in range({number})],
    batch_size=5000,
)
"""
ADD_MAILING = """
from datetime import datetime
from mailings.models import Mailing
times = [datetime.fromisoformat(each) for each in {times}]
print(Mailing.objects.create(start_time=times[0], stop_time=times[1], text="Привет 👋").pk)
"""

CREATE_MAILING = """
from datetime import timedelta
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from mailings.models import Mailing
from mailings.services import create_mailing
# Without a signal, as on a new installation: nothing has ever been changed.
PeriodicTask.objects.filter(name="start_mailing").update(enabled=False)
start = timezone.now() + timedelta(seconds=3)
mailing = Mailing(start_time=start, stop_time=start + timedelta(hours=1), text="On time")
create_mailing(mailing, now=timezone.now())
"""


class Installation:
    """The program's own processes on a database, a broker and a sandbox sender of its own."""

    def __init__(self, folder: Path, database_url: str, resources: ExitStack) -> None:
        self.folder = folder
        self.database_url = database_url
        self._resources = resources
        self._workers: list[subprocess.Popen[bytes]] = []
        broker = resources.enter_context(private_redis())
        self.broker = resources.enter_context(Connection(broker))
        self.environment = {
            **os.environ,
            "VAR_DIR": str(folder),
            "SECRET_KEY": "only-for-tests",
            "DATABASE_URL": database_url,
            "CELERY_BROKER_URL": broker,
            "MESSAGE_SENDER_URL": self.sandbox.api_url,
            "MESSAGE_SENDER_TOKEN": TOKEN,
            "MESSAGE_SENDER_PROCESSES": "2",
        }
        # Last, so that the workers end before what they need.
        resources.callback(stop_all, self._workers)

    @cached_property
    def sandbox(self) -> Sandbox:
        return self._resources.enter_context(running_sandbox(self.folder))

    def run(self, code: str) -> str:
        """Run Python in the installation; return what it printed."""
        setup = "import django; django.setup()\n"
        return subprocess.run(
            [sys.executable, "-c", setup + code],
            cwd=BASE_DIR,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    def start_worker(self, queue: str, processes: int = 2) -> Path:
        """Start a Celery worker; return its log."""
        log = self.folder / f"{queue}-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "celery", "-A", "mailing_manager_project", "worker"]
        options = f"-Q {queue} -P prefork -c {processes} -l INFO -n {log.stem}@%h"
        quiet = "--without-gossip --without-mingle --without-heartbeat"
        with log.open("wb") as output:
            worker = subprocess.Popen(
                [*command, *options.split(), *quiet.split()],
                cwd=BASE_DIR,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._workers.append(worker)
        return log

    def start_beat(self) -> None:
        """Start the clock."""
        command = [sys.executable, "-m", "celery", "-A", "mailing_manager_project", "beat"]
        log = self.folder / "beat.log"
        with log.open("wb") as output:
            beat = subprocess.Popen(
                [*command, "--pidfile=", "-l", "INFO"],
                cwd=BASE_DIR,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._workers.append(beat)
        self.wait_for(lambda: "Starting..." in log.read_text())

    def start_workers(self) -> None:
        """Start one for each queue."""
        self.start_worker("mailings")
        self.start_worker("messages")

    def wait_until_ready(self) -> None:
        """Wait until every worker listens to its queue."""
        logs = list(self.folder.glob("m*.log"))
        self.wait_for(lambda: all("ready." in log.read_text() for log in logs))

    def add_clients(self, number: int) -> None:
        self.run(ADD_CLIENTS.format(number=number))

    def add_mailing(self, *, start: timedelta, stop: timedelta) -> int:
        """Add a mailing that starts and stops so long from now; return its id."""
        now = datetime.now(UTC)
        times = [(now + start).isoformat(), (now + stop).isoformat()]
        return int(self.run(ADD_MAILING.format(times=times)))

    def fire(self, task: str, *arguments: int) -> None:
        """Queue a task, as beat and the web server do."""
        app = Celery(set_as_current=False)
        app.send_task(task, arguments, queue="mailings", ignore_result=True, connection=self.broker)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        if self.database_url.startswith("sqlite"):
            with closing(sqlite3.connect(self.database_url.removeprefix("sqlite:///"))) as database:
                return database.execute(sql).fetchall()
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(sql.encode()).fetchall()

    def messages(self) -> dict[str, int]:
        """Return {status: number of messages}."""
        return dict(self.query("SELECT status, COUNT(*) FROM messages_app_message GROUP BY status"))

    def mailing(self) -> tuple[Any, ...]:
        """Return the newest mailing's status and final counts."""
        sql = "SELECT status, success_count, fail_count FROM mailings_mailing ORDER BY id DESC"
        return self.query(sql)[0]

    def wait_for(self, condition: Callable[[], bool], seconds: float = 40) -> None:
        """Wait until something is so, and tell what the workers said if it never is."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = [log.read_text() for log in self.folder.glob("*.log")]
                pytest.fail("It never came about. The workers said:\n" + "\n".join(logs))
            time.sleep(0.05)

    def check_that_each_was_sent_once(self, number: int) -> None:
        """Compare the database's account with the sender's."""
        ids = {pk for (pk,) in self.query("SELECT id FROM messages_app_message")}
        clients = self.query("SELECT COUNT(DISTINCT client_id) FROM messages_app_message")
        attempts = self.query("SELECT MIN(attempts), MAX(attempts) FROM messages_app_message")
        assert self.messages() == {"success": number}
        assert (clients, attempts) == ([(number,)], [(1, 1)])
        journal = self.sandbox.journal()
        assert journal.accepted == dict.fromkeys(ids, 1)
        assert not journal.repeated


def stop_all(workers: "list[subprocess.Popen[bytes]]") -> None:
    """End workers as an operator does, and those that do not listen all the same."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        try:
            worker.wait(10)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


Install = Callable[[str], Installation]


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, Path], str]]:
    """Return a function that makes a migrated database of a kind; it returns the URL."""
    with ExitStack() as resources:
        templates: dict[str, str] = {}

        def migrate(url: str) -> str:
            subprocess.run(
                [sys.executable, "manage.py", "migrate", "-v", "0"],
                cwd=BASE_DIR,
                env={**os.environ, "DATABASE_URL": url, "SECRET_KEY": "only-for-tests"},
                check=True,
            )
            return url

        def make(kind: str, folder: Path) -> str:
            if kind == "sqlite":
                if kind not in templates:
                    template = tmp_path_factory.mktemp("template") / "db.sqlite3"
                    templates[kind] = migrate(f"sqlite:///{template}")
                copy = folder / "db.sqlite3"
                shutil.copy(templates[kind].removeprefix("sqlite:///"), copy)
                return f"sqlite:///{copy}"
            if kind not in templates:
                server = resources.enter_context(private_postgres(fsync="off"))
                templates[kind] = migrate(server)
            name = f"flow_{time.monotonic_ns()}"
            server, _, template_name = templates[kind].rpartition("/")
            with psycopg.connect(f"{server}/template1", autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name} TEMPLATE {template_name}".encode())
            return f"{server}/{name}"

        yield make


@pytest.fixture
def install(tmp_path: Path, migrated: Callable[[str, Path], str]) -> Iterator[Install]:
    """Return a function that sets up an installation on a kind of database."""
    with ExitStack() as resources:
        yield lambda kind: Installation(tmp_path, migrated(kind, tmp_path), resources)


@pytest.mark.parametrize("database", ["postgres", "sqlite"])
def test_twenty_thousand_clients_are_sent_to_exactly_once(install: Install, database: str) -> None:
    installation = install(database)
    installation.start_workers()
    installation.add_clients(20_000)
    mailing = installation.add_mailing(start=-HOUR, stop=HOUR)
    installation.fire("start_mailing", mailing)
    installation.wait_for(lambda: installation.messages() == {"success": 20_000})
    installation.check_that_each_was_sent_once(20_000)


def test_two_workers_at_once_share_the_work(install: Install) -> None:
    installation = install("postgres")
    installation.environment["MESSAGE_SENDER_PROCESSES"] = "4"
    installation.sandbox.set_faults(latency=0.05)
    installation.start_worker("mailings")
    logs = [installation.start_worker("messages") for _ in range(2)]
    installation.add_clients(8_000)
    installation.wait_until_ready()
    installation.fire("start_mailing", installation.add_mailing(start=-HOUR, stop=HOUR))
    installation.wait_for(lambda: installation.messages() == {"success": 8_000})
    installation.check_that_each_was_sent_once(8_000)
    assert all("Task send_message" in log.read_text() for log in logs)


def test_a_mailing_started_ten_times_at_once_is_sent_once(install: Install) -> None:
    installation = install("postgres")
    installation.add_clients(5_000)
    mailing = installation.add_mailing(start=-HOUR, stop=HOUR)
    for _ in range(10):
        installation.fire("start_mailing", mailing)
        installation.fire("start_mailing")
    installation.start_workers()
    installation.wait_for(lambda: installation.messages() == {"success": 5_000})
    installation.check_that_each_was_sent_once(5_000)


def test_a_mailing_of_zero_clients_is_run_and_finished(install: Install) -> None:
    installation = install("postgres")
    installation.start_workers()
    installation.fire("start_mailing", installation.add_mailing(start=-HOUR, stop=HOUR))
    installation.wait_for(lambda: installation.mailing() == ("running", None, None))
    installation.query("UPDATE mailings_mailing SET stop_time = now() RETURNING id")

    def is_finished() -> bool:
        installation.fire("finish_mailing")
        return installation.mailing() == ("finished", 0, 0)

    installation.wait_for(is_finished)
    assert (installation.messages(), installation.sandbox.sends()) == ({}, 0)


def test_a_mailing_that_is_over_already_sends_nothing(install: Install) -> None:
    installation = install("postgres")
    installation.start_workers()
    installation.add_clients(10)
    mailing = installation.add_mailing(start=-2 * HOUR, stop=-HOUR)
    installation.fire("start_mailing", mailing)
    installation.fire("start_mailing")
    installation.fire("finish_mailing")
    installation.wait_for(lambda: installation.mailing() == ("finished", 0, 0))
    assert (installation.messages(), installation.sandbox.sends()) == ({}, 0)


def test_what_is_planned_and_not_sent_in_time_is_accounted_for(install: Install) -> None:
    installation = install("postgres")
    installation.sandbox.set_faults(latency=0.5)
    installation.start_workers()
    installation.add_clients(5_000)
    installation.wait_until_ready()
    mailing = installation.add_mailing(start=-HOUR, stop=timedelta(seconds=8))
    installation.fire("start_mailing", mailing)

    def is_finished() -> bool:
        installation.fire("finish_mailing")
        return bool(installation.mailing()[0] == "finished")

    installation.wait_for(is_finished)
    sent = installation.sandbox.stats()["unique"]
    assert 0 < sent < 5_000
    assert installation.messages() == {"success": sent, "fail": 5_000 - sent}
    assert installation.mailing() == ("finished", sent, 5_000 - sent)
    stopped_at = installation.query("SELECT stop_time FROM mailings_mailing")[0][0]
    # What was begun before the stop may arrive until its request ends; test_delivery.py holds
    # that none is begun later.
    last = installation.sandbox.stats()["last_accepted_at"]
    assert last <= stopped_at.timestamp() + REQUEST_TIMEOUT


@pytest.mark.parametrize("database", ["postgres", "sqlite"])
def test_the_first_mailing_is_started_by_the_clock_without_waiting_for_the_tick(
    install: Install, database: str
) -> None:
    installation = install(database)
    installation.start_workers()
    installation.add_clients(10)
    installation.start_beat()
    installation.wait_until_ready()
    installation.run(CREATE_MAILING)
    installation.wait_for(lambda: installation.messages() == {"success": 10})
    installation.check_that_each_was_sent_once(10)
    sql = "SELECT start_time, (SELECT MIN(sent_at) FROM messages_app_message) FROM mailings_mailing"
    ((start, first),) = installation.query(sql)
    assert start <= first
