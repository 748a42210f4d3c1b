"""A program as a process: started, listened to, and ended with all that it has started.

Where a comment says Linux, macOS does without.
"""

import ctypes
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from threading import Thread
from time import monotonic
from typing import IO

PR_SET_PDEATHSIG = 1  # linux/prctl.h

logger = logging.getLogger("supervisor")

OnLine = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Program:
    """A program to keep running.

    `answers` tells whether it has started well; it is asked again and again, and must not take
    longer than a second or two. `hint` is shown when the program dies. `environment` is what it
    finds in its environment in place of what stands in ours.
    """

    name: str
    command: Sequence[str]
    answers: Callable[[], bool] = lambda: True
    hint: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


class ManagedProcess:
    """A program, and the process that it is now, if any. It belongs to a supervisor."""

    def __init__(self, program: Program, on_line: OnLine, healthy: float) -> None:
        self.program = program
        self.deaths = 0  # in a row
        self.failures = 0  # deaths in a row that were its own doing
        self.has_worked = False
        self._on_line = on_line
        self._healthy = healthy
        self._process: subprocess.Popen[str] | None = None
        self._reader: Thread | None = None
        self._failure = ""
        self._start_at = 0.0

    def start_in(self, seconds: float) -> None:
        """Have `poll` start it, but not before so many seconds from now."""
        self._start_at = monotonic() + seconds

    def start(self) -> None:
        """Start the process; `poll` tells if that failed."""
        self._start_at = monotonic()
        try:
            # The commands are our own, and each process leads a group, so that what it starts
            # can be found; Ctrl-C in a terminal then reaches only us.
            self._process = subprocess.Popen(
                self.program.command,
                env={**os.environ, **self.program.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
                preexec_fn=partial(_die_with, os.getpid()),
            )
        except OSError as error:
            self._failure = f"could not be started ({error})"
            return
        if lines := self._process.stdout:
            self._reader = Thread(target=self._read, args=[lines], daemon=True)
            self._reader.start()

    def answers(self) -> bool:
        """Tell whether the program works, as far as it can be seen."""
        return self.is_running() and self.program.answers()

    def age(self) -> float:
        """Return for how many seconds it has been running; nothing when it is not."""
        return monotonic() - self._start_at if self.is_running() else 0.0

    def is_running(self) -> bool:
        """Tell whether there is a process."""
        return self._process is not None and self._process.poll() is None

    def poll(self) -> str:
        """Start again what waits for that; return how it ended, if it has just ended."""
        if self.is_running():
            return ""
        if not self._process and not self._failure:
            if monotonic() >= self._start_at:
                logger.info("Starting %s again.", self.program.name)
                self.start()
            return ""
        age = monotonic() - self._start_at
        if age >= self._healthy:
            self.has_worked, self.deaths, self.failures = True, 0, 0
        self.deaths += 1
        return f"{self._reap()} after {age:.0f} s"

    def _reap(self) -> str:
        """Clear away what is left of a process; return how it ended."""
        if self._process:
            code = self._process.returncode
            self.failures += code > 0  # Whom a signal ended, or who was asked to end, did not fail.
            self.kill()
            return _describe_end(code)
        self.failures += 1
        failure, self._failure = self._failure, ""
        return failure

    def terminate(self) -> None:
        """Ask the process to finish what it is at and end."""
        if self._process:
            self._process.terminate()

    def kill(self) -> None:
        """End the process and all that it has started, and show what they still said."""
        if not self._process:
            return
        # Who is gone already is what macOS denies permission for.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._reader:
            self._reader.join(timeout=1)
        self._process = None

    def _read(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                self._on_line(self.program.name, line.rstrip())


def _describe_end(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


# Loaded here and not, as by Celery's set_pdeathsig, after the fork: there a thread that exists no
# more may hold the lock for that.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with(parent: int) -> None:
    """Have the kernel kill this new process when its parent dies, however that happens (Linux).

    What the process starts does not inherit this: Celery does the same for its pools, and
    gunicorn's workers look after their parent.
    """
    if _libc:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # It died in between.
