"""Lets a contender send messages to a sandbox of its own, and kills its worker once."""

import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.environment import PROJECT
from benchmarks.peers.contenders import Contender
from benchmarks.processes import processor_seconds
from sandbox_sender.journal import JournalRecord, read_journal
from sandbox_sender.launch import RunningSandbox, run_sandbox

LIMIT = 600  # seconds that a run may take
PATIENCE = 150  # seconds after a kill in which a contender may send the rest
WARM_UP = 0.1  # of the messages are sent before the clock starts


class Run(NamedTuple):
    """How fast, and how many milliseconds of processor time its own programs took a message."""

    per_second: float
    milliseconds: float


class Aftermath(NamedTuple):
    """What one kill did to how many messages.

    A message that never arrived is stuck while the contender still has it, and else lost.
    """

    number: int
    lost: int
    stuck: int
    repeated: int


def run(contender: Contender, *, latency: float) -> Run:
    """Have a contender send its messages to a sender that answers after `latency` seconds."""
    with _started(contender, latency) as track:
        first = track.wait_for(track.number * WARM_UP)
        began_at, spent = time.perf_counter(), track.processor_seconds()
        track.wait_for(track.number)
        seconds, spent = time.perf_counter() - began_at, track.processor_seconds() - spent
    messages = track.number - first
    return Run(messages / seconds, spent / messages * 1000)


def run_with_a_kill(contender: Contender, *, latency: float) -> Aftermath:
    """Kill the sending worker with all its processes in mid-run, and start it anew."""
    with _started(contender, latency) as track:
        track.wait_for(track.number / 3)
        track.kill_worker()
        give_up_at = time.monotonic() + PATIENCE
        while (left := contender.left()) and time.monotonic() < give_up_at:
            track.keep_worker()
            time.sleep(1)
        journal = track.journal()
    missing = track.number - len(journal.accepted)
    stuck = min(missing, left)
    return Aftermath(track.number, missing - stuck, stuck, journal.repeated.total())


class _Track:
    """A contender's programs, and the sandbox that they send to."""

    def __init__(
        self, contender: Contender, number: int, sandbox: RunningSandbox, journal: Path
    ) -> None:
        self.number = number
        self._sandbox, self._journal = sandbox, journal
        self._env = {**contender.env, "MESSAGE_SENDER_URL": f"{sandbox.url}/v1"}
        self._commands = contender.commands
        self._programs = [self._start(command) for command in contender.commands]

    def wait_for(self, number: float) -> int:
        """Wait until so many messages have arrived; return how many have by then."""
        give_up_at = time.monotonic() + LIMIT
        while (arrived := int(self._sandbox.get("/stats")["unique"])) < number:
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"{arrived} of {self.number} messages arrived in {LIMIT} s.")
            if any(program.poll() for program in self._programs):
                raise RuntimeError(f"A program ended after {arrived} messages.")
            time.sleep(0.02)
        return arrived

    def processor_seconds(self) -> float:
        """Return the processor time of the programs so far."""
        return sum(processor_seconds(program.pid) for program in self._programs)

    def kill_worker(self) -> None:
        """Kill the sending worker as `kill -9` does, and start it as a supervisor does."""
        _kill(self._programs[-1])
        self.keep_worker()

    def keep_worker(self) -> None:
        """Start the sending worker if it does not run: cron does that for those that end."""
        if self._programs[-1].poll() is not None:
            self._programs[-1] = self._start(self._commands[-1])

    def journal(self) -> JournalRecord:
        """Return what the sandbox wrote down."""
        return read_journal(self._journal)

    def stop(self) -> None:
        """End all programs."""
        for program in self._programs:
            _kill(program)

    def _start(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(command, cwd=PROJECT, env=self._env, stdout=subprocess.DEVNULL)


@contextmanager
def _started(contender: Contender, latency: float) -> Iterator[_Track]:
    """Queue the messages, then start the programs; they run for the length of a with block."""
    number = contender.numbers[bool(latency)]
    contender.queue(number)
    with tempfile.TemporaryDirectory(prefix="mailing-peers-") as folder:
        journal = Path(folder) / "journal"
        with run_sandbox("--journal", str(journal), module=contender.sandbox) as sandbox:
            sandbox.set_faults(latency=latency)
            track = _Track(contender, number, sandbox, journal)
            try:
                yield track
            finally:
                track.stop()


def _kill(program: "subprocess.Popen[bytes]") -> None:
    """Kill a program and all its processes at once."""
    if program.poll() is None:
        process = psutil.Process(program.pid)
        for each in [process, *process.children(recursive=True)]:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue
    program.wait()
