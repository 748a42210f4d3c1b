"""An installation of a test's own: the program's processes and all that they need."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
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
from mailing_manager_project.launcher.programs import CELERY
from messages_app.sender_ids import sender_id
from tests.sandbox import TOKEN, Sandbox, running_sandbox
from tests.servers import free_port, wait_for_port

HOUR = timedelta(hours=1)
STARTING = 120  # seconds that a program may take to start where the machine is busy
LAST_WORDS = 4_000  # characters of each log that are shown
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


SENDER_IDS = """
SELECT sender_key, message.id, message.phone_number FROM messages_app_message AS message
JOIN mailings_mailing AS mailing ON mailing.id = message.mailing_id
"""


class Template:
    """A migrated database to be copied, which is far faster than migrating each one."""

    def __init__(self, url: str, code: Path = BASE_DIR) -> None:
        """Migrate the empty database at this URL, by our code or other code."""
        self.url = url
        self._code = code
        self.manage("migrate", "-v", "0")

    def manage(self, *arguments: str) -> str:
        """Run manage.py on it; return what it printed."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self._code,
            env={**os.environ, "DATABASE_URL": self.url, "SECRET_KEY": "only-for-tests"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    def copy(self, folder: Path) -> str:
        """Copy it, an SQLite one into this folder; return the URL of the copy."""
        if self.url.startswith("sqlite"):
            file = folder / "db.sqlite3"
            shutil.copy(self.url.removeprefix("sqlite:///"), file)
            return f"sqlite:///{file}"
        server, _, template = self.url.rpartition("/")
        name = f"copy_{time.monotonic_ns()}"
        with psycopg.connect(f"{server}/template1", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return f"{server}/{name}"


class Installation:
    """The program's own processes on a database, a broker and a sandbox sender of its own."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        broker_url: str,
        resources: ExitStack,
        *sandbox_options: str,
    ) -> None:
        self.folder = folder
        self.database_url = database_url
        self._resources = resources
        self._workers: list[subprocess.Popen[bytes]] = []
        self._sandbox_options = sandbox_options
        self.broker = resources.enter_context(Connection(broker_url))
        self.environment = {
            **os.environ,
            "VAR_DIR": str(folder),
            "SECRET_KEY": "only-for-tests",
            "DATABASE_URL": database_url,
            "CELERY_BROKER_URL": broker_url,
            "MESSAGE_SENDER_URL": self.sandbox.api_url,
            "MESSAGE_SENDER_TOKEN": TOKEN,
            "MESSAGE_SENDER_PROCESSES": "2",
        }
        # Last, so that the workers end before what they need.
        resources.callback(stop_all, self._workers)

    @cached_property
    def sandbox(self) -> Sandbox:
        return self._resources.enter_context(running_sandbox(self.folder, *self._sandbox_options))

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

    def manage(self, *arguments: str) -> str:
        """Run manage.py in the installation; return what it printed."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=BASE_DIR,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    def start_worker(self, queue: str = "", processes: int = 2) -> Path:
        """Start a Celery worker of one queue, or a plain one; return its log."""
        log = self.folder / f"{queue or 'mixed'}-{time.monotonic_ns()}.log"
        queues = f"-Q {queue}" if queue else ""
        options = f"{queues} -P prefork -c {processes} -n {log.stem}@%h"
        quiet = "--without-gossip --without-mingle --without-heartbeat"
        with log.open("wb") as output:
            worker = subprocess.Popen(
                [*CELERY, "worker", *options.split(), *quiet.split()],
                cwd=BASE_DIR,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._workers.append(worker)
        return log

    def start_beat(self) -> None:
        """Start the clock."""
        log = self.folder / "beat.log"
        with log.open("wb") as output:
            beat = subprocess.Popen(
                [*CELERY, "beat", "--pidfile="],
                cwd=BASE_DIR,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._workers.append(beat)
        self.wait_for(lambda: "Beat is at work." in log.read_text(), STARTING)

    def start_web(self) -> int:
        """Start the web server, and wait until it takes connections; return its port."""
        port, log = free_port(), self.folder / "web.log"
        command = [sys.executable, "-m", "gunicorn", "--no-control-socket"]
        with log.open("wb") as output:
            web = subprocess.Popen(
                [*command, f"--bind=127.0.0.1:{port}", "mailing_manager_project.wsgi"],
                cwd=BASE_DIR,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._workers.append(web)
        wait_for_port(port, timeout=STARTING)
        return port

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

    def fire(self, task: str, *arguments: int, queue: str = "mailings") -> None:
        """Queue a task, as beat and the web server do."""
        app = Celery(set_as_current=False)
        app.send_task(task, arguments, queue=queue, ignore_result=True, connection=self.broker)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        if self.database_url.startswith("sqlite"):
            with closing(sqlite3.connect(self.database_url.removeprefix("sqlite:///"))) as database:
                return database.execute(sql).fetchall()
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(sql.encode()).fetchall()

    def sender_ids(self, condition: str = "1 = 1") -> set[int]:
        """Return the ids by which the sender knows the messages of which this SQL is true."""
        rows = self.query(f"{SENDER_IDS} WHERE {condition}")
        return {sender_id(key, message_id=pk, phone_number=phone) for key, pk, phone in rows}

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
                pytest.fail(f"It never came about. The workers said:\n{self.last_words()}")
            time.sleep(0.05)

    def last_words(self) -> str:
        """Return the ends of the logs."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"{log.name}:\n{log.read_text()[-LAST_WORDS:]}" for log in logs)

    def check_that_each_was_sent_once(self, number: int) -> None:
        """Compare the database's account with the sender's."""
        ids = self.sender_ids()
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
