"""The broker: the one that is set, else the one on this machine, else one of our own.

Our own is a Redis on a unix socket that nobody else can reach, good for a first run and for
small installations; where no Redis is to be had, queues are files. What is lost with either is
only doorbells: the database knows what is to be sent.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from kombu import Connection
from kombu.exceptions import OperationalError

from mailing_manager_project.environment import BROKER_FILE, VAR_DIR, SetupError, env
from mailing_manager_project.launcher.executables import find_redis

LOCAL_REDIS = "redis://localhost:6379"
FILES = "filesystem://localhost"  # kombu wants a host; settings say in which folder
ANSWER_TIMEOUT = 3  # seconds
# Linux takes 107 bytes, macOS and the BSDs 103.
LONGEST_SOCKET_PATH = 100


@dataclass(frozen=True, slots=True)
class Broker:
    """Where tasks are queued, and how to run it if it is our own Redis."""

    url: str
    command: tuple[str, ...] = ()
    log_file: Path | None = None

    def answers(self) -> bool:
        """Tell whether it can be used now."""
        return not _find_fault(self.url)


@contextmanager
def choose_broker() -> Iterator[Broker]:
    """Yield the broker to use. One of our own is announced to manage.py for as long.

    Raises:
        SetupError: a broker is set but does not answer.
    """
    BROKER_FILE.unlink(missing_ok=True)  # A leftover of a run that was killed.
    if url := env.str("CELERY_BROKER_URL", default=""):
        if fault := _find_fault(url):
            raise SetupError(
                f"The broker at {_without_password(url)} does not answer: {fault} Start it, "
                "correct CELERY_BROKER_URL, or leave that empty to use a Redis that comes along."
            )
        yield Broker(url)
    elif not _find_fault(LOCAL_REDIS):
        yield Broker(LOCAL_REDIS)
    else:
        with _our_own() as broker:
            BROKER_FILE.write_text(broker.url)
            try:
                yield broker
            finally:
                BROKER_FILE.unlink(missing_ok=True)


@contextmanager
def _our_own() -> Iterator[Broker]:
    executable = find_redis()
    if not executable:
        yield Broker(FILES)
        return
    with _socket_folder() as folder:
        yield _redis(executable, folder / "redis.sock")


def _redis(executable: str, socket_file: Path) -> Broker:
    data = VAR_DIR / "redis"
    data.mkdir(exist_ok=True)
    log_file = data / "redis.log"
    # Its log has a file of its own, because it greets and warns at every healthy start. What it
    # keeps is plain commands, because no Redis reads a binary file of a newer one or of Valkey.
    options = {
        "port": "0", "unixsocket": str(socket_file), "unixsocketperm": "700",
        "dir": str(data), "appendonly": "yes", "aof-use-rdb-preamble": "no", "save": "",
        "databases": "1", "loglevel": "warning", "logfile": str(log_file),
    }  # fmt: skip
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    url = f"redis+socket://{quote(str(socket_file))}"
    return Broker(url, (executable, *arguments), log_file)


@contextmanager
def _socket_folder() -> Iterator[Path]:
    """Yield a folder whose path is short enough for a socket, preferably the installation's."""
    if len(os.fsencode(VAR_DIR / "redis.sock")) <= LONGEST_SOCKET_PATH:
        yield VAR_DIR
    else:
        with tempfile.TemporaryDirectory(prefix="mailing-manager-") as folder:
            yield Path(folder)


def _find_fault(url: str) -> str:
    """Return what is wrong with the broker at a URL, as a sentence; nothing if it answers."""
    options = {"socket_connect_timeout": ANSWER_TIMEOUT, "socket_timeout": ANSWER_TIMEOUT}
    try:
        # RabbitMQ's transport would choke on options that it does not know.
        with Connection(
            url,
            connect_timeout=ANSWER_TIMEOUT,
            transport_options=options if url.startswith("redis") else {},
        ) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
    except (OperationalError, OSError, ValueError, LookupError, ImportError) as error:
        lines = str(error).strip("'\"").splitlines()
        return f"{lines[0].rstrip('.')}." if lines else f"{type(error).__name__}."
    return ""


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
