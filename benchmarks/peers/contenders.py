"""The contenders: we, and systems that somebody would take instead.

Each peer is set up as its own documentation advises (its program says where), with as many requests
open as we have, 2 × 100, where it can. Their work is easier than ours: nothing is planned from
clients and filters, and only django-post-office and Procrastinate keep a record of each. Kannel
keeps a message until it is accepted, and is left out where it is not installed.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import psycopg
import redis

from benchmarks.environment import CONCURRENCY, SENDING_PROCESSES, Environment, workers
from benchmarks.peers import kannel, packages
from mailing_manager_project.launcher import programs

PROGRAMS = Path(__file__).resolve().parent / "programs"
PROCESSES = str(SENDING_PROCESSES)
THREADS = str(CONCURRENCY)
OPEN = str(SENDING_PROCESSES * CONCURRENCY)


class Contender(Protocol):
    """Something that sends messages to the sender whose address is in its environment."""

    @property
    def name(self) -> str:
        """What it is, with its version."""

    @property
    def numbers(self) -> Sequence[int]:
        """How many messages a run has: at a sender that answers at once, and at a slow one."""

    @property
    def sandbox(self) -> str:
        """The module of the sandbox that speaks what it speaks."""

    @property
    def env(self) -> Mapping[str, str]:
        """The environment of its programs, without the sender."""

    @property
    def commands(self) -> Sequence[Sequence[str]]:
        """Its programs; the last one is the sending worker."""

    def queue(self, number: int) -> None:
        """Forget all messages and take over new ones."""

    def left(self) -> int:
        """Count the messages that it still has."""


class Ours:
    """The product, as main.py starts it."""

    name = "ours"
    sandbox = "sandbox_sender"
    numbers = (100_000, 40_000)

    def __init__(self, installation: Environment) -> None:
        """Send from this installation."""
        self._installation = installation
        self.env = {**installation.env, "MESSAGE_SENDER_CONCURRENCY": THREADS}
        self.commands = [programs.beat().command, *workers()]

    def queue(self, number: int) -> None:
        """Plan a mailing."""
        _broker(self.env).flushall()
        self._installation.run("begin", number=number)

    def left(self) -> int:
        """Count what will be tried yet."""
        return int(self._installation.run("count_unfinished")["messages"])


class Peer(NamedTuple):
    """A system with a program of its own in `programs`."""

    name: str
    program: str
    commands: Sequence[Sequence[str]]
    numbers: Sequence[int]
    env: Mapping[str, str]
    sandbox: str = "sandbox_sender"

    def queue(self, number: int) -> None:
        """Queue as many tasks, jobs or mails."""
        _broker(self.env).flushall()
        with psycopg.connect(self.env["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS peer WITH (FORCE)")
            connection.execute("CREATE DATABASE peer")
        self._run("queue", str(number))

    def left(self) -> int:
        """Ask its broker or database."""
        return int(self._run("left"))

    def _run(self, *arguments: str) -> str:
        command = [packages.python(), str(PROGRAMS / self.program), *arguments]
        return subprocess.run(
            command, env=self.env, check=True, stdout=subprocess.PIPE, text=True
        ).stdout


def all_of(installation: Environment) -> Iterator[Contender]:
    """Yield us, then the peers, on the installation's Postgres and Redis."""
    yield Ours(installation)
    if kannel.is_installed():
        yield kannel.Kannel(installation)
    else:
        sys.stderr.write(f"{kannel.MISSING}\n")
    url = installation.env["DATABASE_URL"]
    env = {
        **installation.env,
        "PYTHONPATH": str(PROGRAMS),
        "PEER_DATABASE_URL": f"{url.rpartition('/')[0]}/peer",
    }
    env.pop("DJANGO_SETTINGS_MODULE", None)  # ours; Celery would load it

    def peer(
        system: str, package: str, program: str, worker: Sequence[str], numbers: Sequence[int]
    ) -> Peer:
        command = [packages.python(), *worker]
        return Peer(f"{system} {packages.version(package)}", program, [command], numbers, env)

    celery = ["-m", "celery", "-q", "-A", "celery_tasks", "worker", "-l", "error"]
    # https://docs.celeryq.dev/en/stable/userguide/concurrency/: processes, as many as cores.
    prefork = [*celery, "-c", PROCESSES]
    yield peer("Celery, two processes,", "celery", "celery_tasks.py", prefork, (3_000, 500))
    # …/concurrency/gevent.html: for work that waits for others.
    gevent = [*celery, "-P", "gevent", "-c", OPEN]
    yield peer(
        "Celery, one process of 200 greenlets,", "celery", "celery_tasks.py", gevent, (3_000, 3_000)
    )
    # https://dramatiq.io/guide.html: a process for each core, and threads in each.
    dramatiq = ["-m", "dramatiq", "dramatiq_actors", "-p", PROCESSES, "-t", THREADS]
    dramatiq += ["--skip-logging"]
    yield peer("Dramatiq", "dramatiq", "dramatiq_actors.py", dramatiq, (5_000, 5_000))
    # https://procrastinate.readthedocs.io/en/stable/howto/basics/concurrency.html
    procrastinate = ["-m", "procrastinate", "-a", "procrastinate_tasks.app"]
    procrastinate += ["--log-level", "warning", "worker", "-c", OPEN]
    program = "procrastinate_tasks.py"
    yield peer("Procrastinate", "procrastinate", program, procrastinate, (3_000, 3_000))
    # https://pypi.org/project/django-post-office/: "send_queued_mail --processes".
    program = "post_office_project.py"
    mail = [str(PROGRAMS / program), "send_queued_mail", "--processes", PROCESSES]
    yield peer("django-post-office", "django-post_office", program, mail, (10_000, 10_000))


def _broker(env: Mapping[str, str]) -> redis.Redis:
    return redis.Redis.from_url(env["CELERY_BROKER_URL"])
