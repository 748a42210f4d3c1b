"""Keeps programs running, and leaves none of them behind. Knows nothing of mailings."""

import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event
from time import monotonic

from mailing_manager_project.launcher.process import ManagedProcess, OnLine, Program

TICK = 0.1  # seconds between looks at the processes
STAGE_STOP_SECONDS = 0.75  # seconds of the stop that each earlier stage has for itself

logger = logging.getLogger("supervisor")


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient the supervisor is, in seconds and in failures of one program in a row."""

    stop: float = 15.0  # longer than a request may take
    start: float = 60.0  # until a program that runs answers for the first time
    first_restart: float = 1.0
    longest_restart: float = 10.0
    healthy: float = 30.0  # A program that ran for so long has its earlier deaths forgotten.
    failures_at_start: int = 4  # of one that never worked, and hardly ever will


class StopRequestedError(Exception):
    """Everything is to stop, and this is to be the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Supervisor:
    """Runs programs in stages: each stage starts when the one before it answers.

    What has worked once is started again for ever, whatever ends it. What ends by itself again and
    again without ever having worked ends everything: a port is taken, or a setting is wrong. They
    stop in the opposite order. Call it from the main thread, which gets the signals, and
    whose end is what the children take for the end of this process.
    """

    def __init__(
        self, stages: Sequence[Sequence[Program]], *, on_line: OnLine, limits: Limits = Limits()
    ) -> None:
        """Prepare; `on_line` gets every line that the program of a name writes."""
        self.is_stopping = Event()
        self._stages = [
            [ManagedProcess(program, on_line, limits.healthy) for program in stage]
            for stage in stages
        ]
        self._running: list[ManagedProcess] = []
        self._limits = limits
        self._is_impatient = False
        # Simple, because a signal handler may put while the main thread gets.
        self._codes: SimpleQueue[int] = SimpleQueue()
        self._stalled: SimpleQueue[str] = SimpleQueue()

    def run(self, when_ready: Callable[[], None]) -> int:
        """Run everything until a stop is asked for; return the exit code.

        `when_ready` is called once everything answers.
        """
        with self._signals():
            try:
                for stage in self._stages:
                    self._start(stage)
                when_ready()
                while True:
                    self._watch()
            except StopRequestedError as request:
                return request.code
            finally:
                self._stop_all()

    def stop(self, code: int) -> None:
        """Ask for a stop, from any thread."""
        self._codes.put(code)

    def restart(self, name: str) -> None:
        """Ask, from any thread, for a program that stands still to be restarted."""
        self._stalled.put(name)

    def _start(self, stage: Sequence[ManagedProcess]) -> None:
        for process in stage:
            process.start()
            self._running.append(process)
        while silent := [process for process in stage if not process.answers()]:
            self._watch()
            # One that was killed meanwhile has its time again.
            if late := [process for process in silent if process.age() > self._limits.start]:
                names = ", ".join(process.program.name for process in late)
                logger.error("No answer from %s in %.0f s.", names, self._limits.start)
                raise StopRequestedError(1)

    def _watch(self) -> None:
        """Wait a moment, then look after everything that was started."""
        with suppress(Empty):
            raise StopRequestedError(self._codes.get(timeout=TICK))
        with suppress(Empty):
            self._restart(self._stalled.get_nowait())
        for process in self._running:
            if how := process.poll():
                self._restart_later(process, how)

    def _restart(self, name: str) -> None:
        for process in self._running:
            if process.program.name == name:
                logger.error("%s runs but does nothing any more; it is restarted.", name)
                process.kill()
                process.start_in(0)

    def _restart_later(self, process: ManagedProcess, how: str) -> None:
        name, hint = process.program.name, process.program.hint
        limits = self._limits
        if not process.has_worked and process.failures >= limits.failures_at_start:
            logger.error(
                "%s %s (%d times, and it never worked); giving up. %s",
                name, how, process.failures, hint,
            )  # fmt: skip
            raise StopRequestedError(1)
        wait = self._wait(process.deaths)
        process.start_in(wait)
        logger.error("%s %s; it is started again in %.0f s. %s", name, how, wait, hint)

    def _wait(self, deaths: int) -> float:
        """Return the seconds before the next start after so many deaths in a row."""
        doublings = min(deaths - 1, 30)  # No float is large enough for those of a long outage.
        return min(self._limits.first_restart * 2.0**doublings, self._limits.longest_restart)

    def _stop_all(self) -> None:
        self.is_stopping.set()
        logger.info("Stopping. Ctrl-C stops at once.")
        deadline = monotonic() + self._limits.stop
        for place, stage in reversed(list(enumerate(self._stages))):
            self._stop(stage, deadline - STAGE_STOP_SECONDS * place)
        logger.info("Stopped.")

    def _stop(self, stage: Sequence[ManagedProcess], deadline: float) -> None:
        for process in stage:
            process.terminate()
        while (slow := [c for c in stage if c.is_running()]) and not self._is_impatient:
            if monotonic() > deadline:
                names = ", ".join(process.program.name for process in slow)
                logger.warning("Killing what does not stop: %s.", names)
                break
            with suppress(Empty):
                self._codes.get(timeout=TICK / 2)
        for process in stage:
            process.kill()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Turn signals into requests to stop."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.getsignal(number) for number in numbers}
        if before[signal.SIGHUP] == signal.SIG_IGN:
            del before[signal.SIGHUP]  # nohup wants it so
        for number in before:
            signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)

    def _on_signal(self, number: int, frame: object) -> None:
        if number == signal.SIGINT and self.is_stopping.is_set():
            self._is_impatient = True
        self._codes.put(0)
