"""main.py as a user starts it, in an installation and on ports of a test's own."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

import psutil

from mailing_manager_project.environment import BASE_DIR
from tests.servers import free_port

PATIENCE = 60  # seconds; the machine may be busy with other tests


class MainProgram:
    """A running main.py. What it writes is in `lines`."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        """Start it on an installation's folder."""
        self.folder = folder
        self.port, self.sandbox_port = free_port(), free_port()
        self.lines: list[str] = []
        ports = [f"--port={self.port}", f"--sandbox-port={self.sandbox_port}"]
        self.process = subprocess.Popen(
            [sys.executable, "main.py", *ports, *arguments],
            cwd=BASE_DIR,
            env=clean_environment(folder, **environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            umask=0o022,  # as usual, so that what is private is so by our own doing
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """Return what was written so far."""
        return "\n".join(self.lines)

    def wait_for(self, text: str) -> str:
        """Wait until it has written a line with this text, and return the line."""
        wait_until(lambda: text in self.output or self.process.poll() is not None, self)
        lines = [line for line in self.lines if text in line]
        assert lines, f"It never wrote {text!r}, but:\n{self.output}"
        return lines[0]

    def wait_for_end(self) -> int:
        """Wait until it has ended, and return the exit code."""
        wait_until(lambda: self.process.poll() is not None, self)
        code = self.process.wait()
        self._reader.join()
        return code

    def processes(self) -> list[psutil.Process]:
        """Return all processes of the installation, whoever their parents are."""
        return [process for process in psutil.process_iter() if self._owns(process)]

    def find(self, words: str) -> psutil.Process:
        """Return the first process that was started with these words, not those that it forked."""
        return min(
            (p for p in self.processes() if words in " ".join(p.cmdline())),
            key=lambda process: process.create_time(),
        )

    def stop(self) -> int:
        """Ask it to stop as init does, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_for_end()

    def clean_up(self) -> None:
        """Leave nothing behind, whatever the test came to."""
        self.process.kill()
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.wait_for_end()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            self.lines.extend(line.rstrip("\n") for line in lines)

    def _owns(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return bool(process.environ().get("VAR_DIR") == str(self.folder))
        return False


@contextmanager
def running(folder: Path, *arguments: str, **environment: str) -> Iterator[MainProgram]:
    """Run main.py for the length of a with block."""
    program = MainProgram(folder, *arguments, **environment)
    try:
        yield program
    finally:
        program.clean_up()


def refusal(folder: Path, *arguments: str, **environment: str) -> str:
    """Start main.py where it cannot start, and return its one line about that."""
    result = subprocess.run(
        [sys.executable, "main.py", f"--port={free_port()}", *arguments],
        cwd=BASE_DIR,
        env=clean_environment(folder, **environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.returncode == 2
    return result.stderr


def manage(folder: Path, *arguments: str) -> str:
    """Run manage.py from another shell, and return what it prints."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=BASE_DIR,
        env=clean_environment(folder),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
    ).stdout


def clean_environment(folder: Path, **environment: str) -> dict[str, str]:
    """Return the environment of a user who has set nothing but the folder and these."""
    unset = dict.fromkeys(
        ("CELERY_BROKER_URL", "SECRET_KEY", "MESSAGE_SENDER_TOKEN", "MESSAGE_SENDER_URL"), ""
    )
    sqlite = f"sqlite:///{folder}/db.sqlite3"
    ours = {"LOG_FORMAT": "console", "VAR_DIR": str(folder), "DATABASE_URL": sqlite}
    return {**os.environ, **unset, **ours, **environment}


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """Run SQL on the installation's SQLite database."""
    with closing(sqlite3.connect(folder / "db.sqlite3", timeout=30)) as database, database:
        return database.execute(sql).fetchall()


def wait_until(condition: Callable[[], bool], program: MainProgram) -> None:
    """Wait for a condition; fail with what the program wrote when it does not come."""
    deadline = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < deadline, program.output
        sleep(0.02)
