"""A process supervisor: what dies is started again, whoever killed it."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import psutil

from mailing_manager_project.environment import BASE_DIR
from mailing_manager_project.launcher.process import Program

TICK = 0.1  # seconds between looks at the processes
STOP_SECONDS = 10


class Keeper:
    """Keeps programs running, and leaves none of them behind."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Prepare; each program's output goes to a log of its name in the folder."""
        self.starts: Counter[str] = Counter()
        self._folder = folder
        self._environment = environment
        self._commands: dict[str, Program] = {}
        self._options: dict[str, dict[str, Any]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = Lock()
        self._is_over = Event()
        self._watcher = Thread(target=self._watch, daemon=True)

    def keep(
        self,
        program: Program,
        name: str = "",
        *,
        code: Path = BASE_DIR,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """Start a program and keep it running, under another name where there are several.

        Its code may be other than ours, and it may find something extra in its environment.
        """
        name = name or program.name
        with self._lock:
            self._commands[name] = program
            self._options[name] = {"cwd": code, "env": {**self._environment, **(extra or {})}}
            self._start(name)
        if not self._watcher.is_alive():
            self._watcher.start()

    def program(self, name: str) -> Program:
        """Return a program that is kept running."""
        return self._commands[name]

    def process(self, name: str) -> psutil.Process:
        """Return the process that the program is now."""
        with self._lock:
            return psutil.Process(self._running[name].pid)

    def children(self, name: str) -> list[psutil.Process]:
        """Return what the program has forked, which may be nothing yet."""
        with suppress(psutil.NoSuchProcess):
            children: list[psutil.Process] = self.process(name).children(recursive=True)
            return children
        return []

    def restart(self, name: str) -> None:
        """Ask the program to end, as a deploy does; what it leaves is started again."""
        with suppress(psutil.NoSuchProcess):
            self.process(name).terminate()

    def end(self, name: str) -> None:
        """Ask the program to end, and do not start it again; wait until it is gone."""
        with self._lock:
            process = self._running.pop(name)
        process.terminate()
        process.wait()

    def kill(self, name: str) -> None:
        """Kill the program with all that it has forked, and do not start it again."""
        with self._lock:
            process = self._running.pop(name)
        _kill_group(process)

    def kill_tree(self, name: str) -> None:
        """Kill the program with all that it has forked, as the kernel's out-of-memory killer."""
        with suppress(psutil.NoSuchProcess):
            process = self.process(name)
            for each in [process, *process.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    each.kill()

    def stop(self) -> None:
        """End everything, as an operator does, and by force what does not listen."""
        self._is_over.set()
        if self._watcher.is_alive():
            self._watcher.join()
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            _kill_group(process)

    def _watch(self) -> None:
        while not self._is_over.wait(TICK):
            with self._lock:
                for name, process in self._running.items():
                    if process.poll() is not None:
                        _kill_group(process)
                        self._start(name)

    def _start(self, name: str) -> None:
        self.starts[name] += 1
        with (self._folder / f"{name}.log").open("ab") as output:
            self._running[name] = subprocess.Popen(
                self._commands[name].command,
                **self._options[name],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, by which its orphans are found
            )


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
