"""A whole installation on servers that may crash: what the scenarios are played on."""

import json
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import psutil
import psycopg
import redis

from mailing_manager_project.environment import BASE_DIR
from mailing_manager_project.launcher import programs
from sandbox_sender.journal import read_whole_lines
from tests.faults.keeper import Keeper
from tests.faults.rest_api import RestApi
from tests.faults.sizes import IS_FULL, PATIENCE, REPEAT, REQUEST_TIMEOUT
from tests.faults.witness import Row, Send, compare, known_as, read_sends
from tests.installation import Installation
from tests.main_program import MainProgram, running
from tests.servers import Broker, PostgresServer, free_port

ADD_CLIENTS = """
INSERT INTO clients_client
    (phone_number, operator_code, tag, timezone, created_at, updated_at)
WITH RECURSIVE numbers (n) AS (
    SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {first} + {number}
)
SELECT CAST(79000000000 + n AS varchar), '900', 'group-' || CAST(n % {groups} AS varchar),
    'UTC', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP
FROM numbers
"""
# As an operator may set it in the admin: the minute's ticks come as often as send_message's.
TICK_OFTEN = """
UPDATE django_celery_beat_periodictask SET interval_id = (
    SELECT interval_id FROM django_celery_beat_periodictask WHERE name = 'send_message'
) WHERE name IN ('start_mailing', 'finish_mailing')
"""
Figures = dict[str, object]


def wrong_clock(error: float) -> dict[str, str]:
    """Return the environment of a program whose clock is wrong by so many seconds."""
    folder = Path(__file__).with_name("wrong_clock")
    return {"PYTHONPATH": str(folder), "CLOCK_ERROR": str(error)} if error else {}


ROWS = """
SELECT sender_key, message.id, message.phone_number, message.status
FROM messages_app_message AS message JOIN mailings_mailing AS mailing ON mailing.id = mailing_id
"""


class Site(Installation):
    """An installation whose programs are kept running, and whose servers may crash."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        *,
        postgres: PostgresServer,
        broker_server: Broker,
        token: str,
        figures: Figures,
        dice: Random,
        resources: ExitStack,
        sandbox_options: tuple[str, ...] = (),
    ) -> None:
        super().__init__(
            folder, database_url, broker_server.url, resources, "--fsync", *sandbox_options
        )
        self.postgres = postgres
        self.broker_server = broker_server
        self.figures = figures
        self.dice = dice
        self.environment |= {
            "MAILING_REPEAT_TIMEOUT": str(REPEAT),
            "MESSAGE_SENDER_TIMEOUT": str(REQUEST_TIMEOUT),
            "MESSAGE_SENDER_CONCURRENCY": "10",
        }
        self.keeper = Keeper(folder, self.environment)
        self._port = free_port()
        self.rest = RestApi(self._port, token)
        resources.callback(self.keeper.stop)

    def start(
        self,
        *,
        senders: int = 2,
        clocks: Mapping[str, float] | None = None,
        code: Path = BASE_DIR,
        **environment: object,
    ) -> None:
        """Start the programs as main.py does, with so many sending processes.

        The clocks of those that are named in `clocks` are wrong by so many seconds.
        """
        self.environment |= {name: str(value) for name, value in environment.items()}
        self.environment["MESSAGE_SENDER_PROCESSES"] = str(senders)
        if not IS_FULL:
            self.execute(TICK_OFTEN)
        web = programs.web("127.0.0.1", self._port)
        planner = programs.worker("mailings", processes=1)
        sender = programs.worker("messages", processes=senders)
        for program in (web, programs.beat(), planner, sender):
            extra = wrong_clock((clocks or {}).get(program.name, 0))
            self.keeper.keep(program, code=code, extra=extra)
        self.wait_for(web.answers)
        self.wait_for(lambda: len(self.keeper.children("messages")) >= senders)

    @contextmanager
    def main_program(self, **environment: object) -> Iterator[MainProgram]:
        """Run main.py in place of the single programs; it brings a Redis of its own."""
        self.environment |= {name: str(value) for name, value in environment.items()}
        if not IS_FULL:
            self.execute(TICK_OFTEN)
        own = {**self.environment, "CELERY_BROKER_URL": ""}
        with running(self.folder, f"--port={self._port}", **own) as program:
            program.wait_for("Ctrl-C stops everything.")
            yield program

    def wait_for(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait until something is so, and tell what the programs said if it never is."""
        super().wait_for(condition, seconds)

    def add_clients(self, number: int, groups: int = 1, *, first: int = 0) -> None:
        """Add clients, by turns of the tags group-0, group-1 and so on.

        Their phone numbers follow each other; `first` says how many there are before them.
        """
        self.execute(ADD_CLIENTS.format(number=number, groups=groups, first=first))
        self.figures["messages"] = first + number

    def execute(self, sql: str) -> None:
        """Change the database behind the program's back."""
        if self.database_url.startswith("sqlite"):
            file = self.database_url.removeprefix("sqlite:///")
            with closing(sqlite3.connect(file, timeout=30)) as database, database:
                # A constraint calls it; Django defines it for its own connections.
                database.create_function("regexp", 2, lambda *given: bool(re.search(*given)))
                database.execute(sql)
            return
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(sql.encode())

    def count(self, condition: str = "1 = 1") -> int:
        """Count the messages of which this SQL is true."""
        ((number,),) = self.query(f"SELECT COUNT(*) FROM messages_app_message WHERE {condition}")
        return int(number)

    def sent(self) -> int:
        """Return how many different messages the sender has accepted."""
        number: int = self.sandbox.stats()["unique"]
        return number

    def wait_for_sent(self, number: int) -> None:
        """Wait until the sender has accepted so many different messages."""
        self.wait_for(lambda: self.sent() >= number)

    def wait_for_count(self, number: int, condition: str = "1 = 1") -> None:
        """Wait until there are so many messages of which this SQL is true."""
        self.wait_for(lambda: self.count(condition) >= number)

    def sends(self) -> list[Send]:
        """Return all that the sender's journal says."""
        return read_sends(self.sandbox.journal_path)

    def send_group(self, group: int, number: int) -> None:
        """Create a mailing to a group; return at a random moment of its delivery."""
        before = self.sent()
        self.rest.try_to_create_mailing(filters={"tag": f"group-{group}"})
        share = int(number * self.dice.uniform(0.05, 0.7))
        self.wait_for_sent(before + share)

    def finish_sending(self, number: int) -> None:
        """Wait until so many messages are sent and none is left, then compare all accounts."""
        began_at = time.monotonic()
        self.wait_for_sent(number)  # cheap to ask, however many there are
        self.wait_for(lambda: self.count() == number == self.count("status = 'success'"))
        self.figures["until all was sent, s"] = round(time.monotonic() - began_at, 1)
        self.check()

    def crash_database(self, seconds: float = 0.0) -> None:
        """Crash Postgres and start it again so many seconds later."""
        self.postgres.crash()
        time.sleep(seconds)
        self.postgres.start()

    def kill_broker(self, seconds: float = 0.0) -> None:
        """Kill the broker and start it again so many seconds later."""
        self.broker_server.kill()
        time.sleep(seconds)
        self.broker_server.start()

    def flush_broker(self) -> None:
        """Have Redis forget everything."""
        with redis.Redis.from_url(self.broker_server.url) as client:
            client.flushall()

    def kill_child(self, name: str = "messages") -> None:
        """Kill a random process of a worker's pool, once there is one."""
        self.wait_for(lambda: self._try_to_kill_child(name))

    def _try_to_kill_child(self, name: str) -> bool:
        with suppress(psutil.NoSuchProcess):
            if children := self.keeper.children(name):
                self.dice.choice(children).kill()
                return True
        return False

    def check(self, journal: Path | None = None) -> None:
        """Have the witness and the program's own audit look for anything that does not add up.

        They are given the sender's journal, or the part of it that the database can know of.
        """
        journal = journal or self.sandbox.journal_path
        rows = [
            Row(known_as(key, pk, phone), phone, status)
            for key, pk, phone, status in self.query(ROWS)
        ]
        findings = asdict(compare(read_sends(journal), rows))
        self.figures |= findings
        excused = {name: findings.pop(name) for name in ("dropped", "unrecorded")}
        assert findings == dict.fromkeys(findings, 0), excused
        self.audit(journal)

    def audit(self, journal: Path | None = None) -> None:
        """Have the program prove that its accounts add up."""
        options = ["--journal", str(journal or self.sandbox.journal_path), "--json"]
        result = subprocess.run(
            [sys.executable, "manage.py", "audit", *options],
            cwd=BASE_DIR,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, f"{result.stdout[-4000:]}\n{result.stderr[-4000:]}"
        report: dict[str, Any] = json.loads(result.stdout)
        assert report
        self.figures["audit"] = "holds"

    def journal_without(self, ids: Collection[int]) -> Path:
        """Write down what the sender's journal says of all messages but these; return the file."""
        part = self.folder / "part.journal"
        lines = read_whole_lines(self.sandbox.journal_path)
        part.write_text("".join(f"{line}\n" for line in lines if int(line.split()[1]) not in ids))
        return part

    def log(self) -> str:
        """Return all that the programs have said."""
        return "\n".join(log.read_text() for log in sorted(self.folder.glob("*.log")))
