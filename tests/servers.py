"""Private Postgres, Redis and RabbitMQ servers on free ports, for tests and benchmarks."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import psutil
import psycopg

from tests.programs import (
    give,
    popen_as,
    postgres_folder,
    rabbitmq_executable,
    redis_executable,
    within_reach,
)

POSTGRES_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
}


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class PostgresServer:
    """A Postgres of our own. Its data outlive a stop, even one without any warning."""

    def __init__(
        self, folder: Path, primary: "PostgresServer | None" = None, /, **options: str
    ) -> None:
        """Make an empty database in a folder that Postgres may write to; start it with `start`.

        With a `primary` that runs, it is a copy that follows it. Durability (fsync) is on, as in
        production, unless an option says otherwise.
        """
        self.port = free_port()
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        settings = {**POSTGRES_OPTIONS, **options, "port": str(self.port)}
        self._flags = " ".join([f"-c {n}={value}" for n, value in settings.items()])
        self._flags += f" -k {folder}"
        self._folder, self._data, self._log = folder, folder / "data", folder / "log"
        self._process_file = self._data / "postmaster.pid"
        self._programs = within_reach(postgres_folder(), folder)
        if primary:
            source = ("-h", "127.0.0.1", "-p", primary.port, "-U", "postgres")
            self._run("pg_basebackup", "-D", self._data, *source, "-R", "-c", "fast", "--no-sync")
        else:
            self._run("initdb", "-D", self._data, "-A", "trust", "-U", "postgres", "--no-sync")

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self._run("pg_ctl", "-D", self._data, "-o", self._flags, "-l", self._log, "-w", "start")

    def crash(self) -> None:
        """Stop it, if it runs, as a loss of power does: whatever is not on disk is gone."""
        if self._process_file.exists():
            self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def kill(self) -> None:
        """Kill all its processes, as a host that burns down does."""
        postmaster = psutil.Process(int(self._process_file.read_text().split()[0]))
        processes = [postmaster, *postmaster.children()]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes)
        self._process_file.unlink()

    def fall_behind(self) -> None:
        """Have a standby receive nothing more from its primary; return when that is so."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
            while connection.execute("SELECT FROM pg_stat_wal_receiver").rowcount:
                time.sleep(0.02)

    def promote(self) -> None:
        """Make a primary of a standby."""
        self._run("pg_ctl", "-D", self._data, "-w", "promote")

    def dump(self, url: str) -> Path:
        """Back a database up, also one that is being written; return the file."""
        dump = self._folder / "dump"
        self._run("pg_dump", "--format=custom", f"--file={dump}", f"--dbname={url}")
        return dump

    def restore(self, dump: Path, url: str) -> None:
        """Put a backup back, in place of the database that may be there."""
        server, _, name = url.rpartition("/")
        with psycopg.connect(f"{server}/template1", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {name}".encode())
        self._run("pg_restore", "--exit-on-error", f"--dbname={url}", dump)

    def _run(self, program: str, *arguments: object) -> None:
        """Run one of Postgres's own programs."""
        command = [str(self._programs / program), *map(str, arguments)]
        if code := popen_as("postgres", command, os.environ).wait():
            raise subprocess.CalledProcessError(code, command)


@contextmanager
def running_postgres(**options: str) -> Iterator[PostgresServer]:
    """Run a Postgres of our own, which may crash and be started again meanwhile."""
    with _folder("postgres") as folder:
        server = PostgresServer(folder, **options)
        server.start()
        try:
            yield server
        finally:
            server.crash()


@contextmanager
def running_standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    """Run a standby that has all that its primary has by now, and follows it."""
    with _folder("postgres") as folder:
        server = PostgresServer(folder, primary)
        server.start()
        try:
            yield server
        finally:
            server.crash()


@contextmanager
def private_postgres(**options: str) -> Iterator[str]:
    """Run a Postgres of our own; yield the URL of an empty database."""
    with running_postgres(**options) as server:
        yield server.url


class Broker(Protocol):
    """A broker of our own, on one port however often it is started."""

    url: str

    def start(self) -> None:
        """Start it, and wait until it takes connections."""

    def kill(self) -> None:
        """Kill it, as `kill -9` does."""


class RedisServer:
    """A Redis of our own, on one port however often it is started."""

    def __init__(self, folder: Path, *, is_durable: bool = False) -> None:
        """Choose a port; with is_durable it knows after a start what it knew before."""
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._options = ["--appendonly", "yes" if is_durable else "no", "--save", ""]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self._process = subprocess.Popen(
            [redis_executable(), "--port", str(self.port), "--bind", "127.0.0.1", *self._options],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
        wait_for_port(self.port)

    def kill(self) -> None:
        """Kill it, as `kill -9` does."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Have it take connections and say nothing, as a host that is swapping does."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on as if nothing had been."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)


@contextmanager
def running_redis(*, is_durable: bool = False) -> Iterator[RedisServer]:
    """Run a Redis of our own, which may be killed and started again meanwhile."""
    with _folder("redis") as folder:
        server = RedisServer(folder, is_durable=is_durable)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def private_redis() -> Iterator[str]:
    """Run a Redis of our own; yield its URL."""
    with running_redis() as server:
        yield server.url


class RabbitServer:
    """A RabbitMQ of our own, with an Erlang port mapper of its own."""

    def __init__(self, folder: Path) -> None:
        """Choose ports."""
        self._command = [rabbitmq_executable()]
        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),  # for the cookie that the two programs know each other by
            "ERL_EPMD_PORT": str(free_port()),
            "RABBITMQ_NODENAME": f"test-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RUNNING_UNDER_SYSTEMD": "1",  # one process, and no script around it
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes connections; that takes some seconds."""
        self._process = popen_as("rabbitmq", self._command, self._environment)
        wait_for_port(self.port, timeout=60)

    def kill(self) -> None:
        """Kill it, as `kill -9` does."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it for good, with the port mapper."""
        self.kill()
        popen_as("rabbitmq", ["epmd", "-kill"], self._environment).wait()


@contextmanager
def running_rabbitmq() -> Iterator[RabbitServer]:
    """Run a RabbitMQ of our own, which may be killed and started again meanwhile."""
    with _folder("rabbitmq") as folder:
        server = RabbitServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def wait_for_port(port: int, timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=timeout).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"mailing-{name}-"))
    give(folder, name)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
