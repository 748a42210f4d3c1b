"""Private Postgres, Redis and RabbitMQ servers on free ports, for tests and benchmarks."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from mailing_manager_project.launcher.executables import find_redis

POSTGRES_BINARIES = "/usr/lib/postgresql/15/bin"
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
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

    def __init__(self, folder: Path, **options: str) -> None:
        """Make an empty database in a folder that Postgres may write to; start it with `start`.

        Durability (fsync) is on, as in production, unless an option says otherwise.
        """
        self.port = free_port()
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        settings = {**POSTGRES_OPTIONS, **options, "port": str(self.port)}
        self._flags = " ".join([f"-c {n}={value}" for n, value in settings.items()])
        self._flags += f" -k {folder}"
        self._data, self._log = folder / "data", folder / "log"
        _as_postgres("initdb", "-D", self._data, "-A", "trust", "-U", "postgres", "--no-sync")

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        _as_postgres("pg_ctl", "-D", self._data, "-o", self._flags, "-l", self._log, "-w", "start")

    def crash(self) -> None:
        """Stop it as a loss of power does: whatever is not on disk is gone."""
        _as_postgres("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")


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
        _wait_for_port(self.port)

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
        """Choose ports.

        Raises:
            FileNotFoundError: there is no RabbitMQ.
        """
        if not RABBITMQ.exists():
            raise FileNotFoundError(f"There is no {RABBITMQ}. Install the package rabbitmq-server.")
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
        self._process = _popen_as("rabbitmq", [str(RABBITMQ)], self._environment)
        _wait_for_port(self.port, timeout=60)

    def kill(self) -> None:
        """Kill it, as `kill -9` does."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it for good, with the port mapper."""
        self.kill()
        _popen_as("rabbitmq", ["epmd", "-kill"], self._environment).wait()


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


def redis_executable() -> str:
    """Return a Redis server: the machine's, or the one that the requirements bring along."""
    found = find_redis()
    if not found:
        raise FileNotFoundError("There is no redis-server on PATH. Install Redis.")
    return found


def _wait_for_port(port: int, timeout: float = 10) -> None:
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


def _as_postgres(command: str, *arguments: object) -> None:
    """Run one of Postgres's own commands; as root it has to be somebody else."""
    binary = shutil.which(command, path=f"{POSTGRES_BINARIES}:{os.environ['PATH']}")
    if not binary:
        raise FileNotFoundError(
            f"There is no {command} in {POSTGRES_BINARIES} or on PATH. Install Postgres 15."
        )
    process = _popen_as("postgres", [binary, *map(str, arguments)], os.environ)
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, process.args)


def _popen_as(
    user: str, command: Sequence[str], environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """Start a server's program, which refuses to be root, in a process group of its own."""
    is_root = os.geteuid() == 0
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd="/",
        env=environment,
        user=user if is_root else None,
        group=user if is_root else None,
        start_new_session=True,
    )


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"mailing-{name}-"))
    if os.geteuid() == 0 and name != "redis":
        shutil.chown(folder, name, name)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
