"""The supervisor, with tiny programs of Python."""

import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import psutil
import pytest

from mailing_manager_project.launcher.process import ManagedProcess, Program
from mailing_manager_project.launcher.supervisor import Limits, Supervisor

QUICK = Limits(stop=5, start=10, first_restart=0.01, failures_at_start=100)
FOREVER = "print('up', flush=True); import time; time.sleep(600)"
DYING = "print('up', flush=True); raise SystemExit(3)"
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print('deaf', flush=True))
print('up', flush=True)
while True: time.sleep(600)
"""


def program(code: str, *, name: str = "it", answers: Callable[[], bool] = lambda: True) -> Program:
    return Program(name, [sys.executable, "-c", code], answers)


class Run:
    """One run of a supervisor that stops itself when enough was said."""

    def __init__(
        self,
        *stages: Sequence[Program],
        limits: Limits = QUICK,
        until: Callable[["Run"], bool] = lambda run: "up" in run.said(),
        when_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self.lines: list[tuple[str, str]] = []
        self.times: list[float] = []
        self.until = until
        self.supervisor = Supervisor(stages, on_line=self.on_line, limits=limits)
        began_at = monotonic()
        self.code = self.supervisor.run(when_ready)
        self.seconds = monotonic() - began_at

    def on_line(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        self.times.append(monotonic())
        if self.until(self):
            self.supervisor.stop(7)

    def said(self) -> list[str]:
        return [line for _, line in self.lines]


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_for_end(pid: int) -> None:
    deadline = monotonic() + 10
    while is_alive(pid):
        assert monotonic() < deadline, f"process {pid} is still there"


def test_lines_are_shown_with_the_name_of_their_program() -> None:
    loud = "import os; os.write(1, b'out\\n'); os.write(2, b'err \\xff\\n');"
    run = Run(
        [program(loud + FOREVER, name="loud"), program(FOREVER, name="other")],
        until=lambda run: run.said().count("up") == 2,
    )
    assert [line for name, line in run.lines if name == "loud"] == ["out", "err �", "up"]
    assert [line for name, line in run.lines if name == "other"] == ["up"]


def test_the_exit_code_is_the_one_that_the_stop_asked_for() -> None:
    assert Run([program(FOREVER)]).code == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_a_request_to_stop(number: int) -> None:
    def send(run: Run) -> bool:
        os.kill(os.getpid(), number)
        return False

    # The tests may run under nohup themselves.
    found = signal.signal(number, signal.default_int_handler)
    try:
        assert Run([program(FOREVER)], until=send).code == 0
        assert signal.getsignal(number) == signal.default_int_handler
    finally:
        signal.signal(number, found)


def test_what_nohup_ignores_stays_ignored() -> None:
    handlers: list[object] = []

    def hang_up(run: Run) -> bool:
        os.kill(os.getpid(), signal.SIGHUP)
        handlers.append(signal.getsignal(signal.SIGHUP))
        return True

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert Run([program(FOREVER)], until=hang_up).code == 7
    finally:
        signal.signal(signal.SIGHUP, before)
    assert handlers == [signal.SIG_IGN]


def test_a_program_that_dies_is_started_again_each_time_later() -> None:
    limits = Limits(first_restart=0.2, longest_restart=0.4, failures_at_start=100)
    run = Run([program(DYING)], limits=limits, until=lambda run: run.said().count("up") == 4)
    first, second, third, fourth = run.times
    assert second - first >= 0.2
    assert third - second >= 0.4
    assert fourth - third >= 0.4


def test_the_wait_for_the_next_start_doubles_up_to_the_longest(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    start_in = ManagedProcess.start_in

    def start_at_once(process: ManagedProcess, seconds: float) -> None:
        waits.append(seconds)
        start_in(process, 0)

    monkeypatch.setattr(ManagedProcess, "start_in", start_at_once)
    limits = Limits(first_restart=100, longest_restart=300, healthy=600, failures_at_start=100)
    Run([program(DYING)], limits=limits, until=lambda run: run.said().count("up") == 5)
    assert waits[:4] == [100, 200, 300, 300]
    assert re.search(
        r"it ended with exit code 3 after \d+ s; it is started again in 100 s\.", caplog.text
    )


def test_the_log_names_the_signal_that_killed_a_program(caplog: pytest.LogCaptureFixture) -> None:
    suicide = "import os, signal; print('up', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    Run([program(suicide)], until=lambda run: run.said().count("up") == 2)
    assert "it was killed by SIGKILL" in caplog.text


def test_deaths_are_forgotten_after_a_healthy_run(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(first_restart=0.01, longest_restart=600, healthy=0)
    run = Run([program(DYING)], limits=limits, until=lambda run: run.said().count("up") == 12)
    assert run.code == 7


def test_a_program_that_never_worked_ends_everything(caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits(first_restart=0.01, failures_at_start=3)
    run = Run([program(DYING)], limits=limits, until=lambda run: False)
    assert run.code == 1
    assert run.said() == ["up"] * 3
    assert (
        "it ended with exit code 3 after 0 s (3 times, and it never worked); giving up."
        in caplog.text
    )


def test_a_program_that_worked_once_is_started_again_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    sign = tmp_path / "sign"
    dying = f"""
import os, time
print('up', flush=True)
while not os.path.exists({str(sign)!r}): time.sleep(0.01)
raise SystemExit(3)
"""

    def let_half_a_minute_pass(run: Run) -> bool:
        nonlocal now
        now = 30.0
        sign.touch()
        return run.said().count("up") == 12

    monkeypatch.setattr("mailing_manager_project.launcher.process.monotonic", lambda: now)
    limits = Limits(first_restart=0, healthy=30, failures_at_start=2)
    assert Run([program(dying)], limits=limits, until=let_half_a_minute_pass).code == 7


@pytest.mark.parametrize(
    "end", ["os.kill(os.getpid(), signal.SIGKILL)", "raise SystemExit"], ids=["killed", "asked"]
)
def test_what_others_end_at_once_is_started_again_for_ever(end: str) -> None:
    ended = f"import os, signal; print('up', flush=True); {end}"
    limits = Limits(first_restart=0.01, longest_restart=0.01, failures_at_start=2)
    run = Run([program(ended)], limits=limits, until=lambda run: run.said().count("up") == 8)
    assert run.code == 7


def test_after_deaths_without_number_it_still_waits_the_longest() -> None:
    supervisor = Supervisor([], on_line=lambda name, line: None, limits=Limits(longest_restart=10))
    assert supervisor._wait(10_000) == 10


def test_a_command_that_does_not_exist_ends_everything(caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits(first_restart=0.01, failures_at_start=2)
    run = Run([Program("it", ["/no/such/program"])], limits=limits)
    assert run.code == 1
    assert "it could not be started ([Errno 2] No such file" in caplog.text


def test_the_hint_of_a_program_is_shown_when_it_dies(caplog: pytest.LogCaptureFixture) -> None:
    dying = Program("it", [sys.executable, "-c", DYING], hint="See it.log.")
    Run([dying], until=lambda run: run.said().count("up") == 2)
    assert "See it.log." in caplog.text


def test_a_program_finds_in_its_environment_what_it_is_given_and_else_what_we_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OURS", "ours")
    monkeypatch.setenv("SECRET", "ours")
    code = "import os; print('up', os.environ['OURS'], repr(os.environ['SECRET']), flush=True)"
    it = Program("it", [sys.executable, "-c", code], environment={"SECRET": ""})
    assert Run([it], until=lambda run: True).said() == ["up ours ''"]


def test_a_stage_starts_when_the_one_before_answers(tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    slow = f"import time; time.sleep(0.3); open({str(sign)!r}, 'w'); print('first', flush=True);"
    ready: list[bool] = []
    run = Run(
        [program(slow + "time.sleep(600)", answers=sign.exists)],
        [program(FOREVER)],
        when_ready=lambda: ready.append(True),
    )
    assert run.said() == ["first", "up"]
    assert ready == [True]


def test_no_answer_in_time_ends_everything(caplog: pytest.LogCaptureFixture) -> None:
    run = Run(
        [program(FOREVER, answers=lambda: False)],
        limits=Limits(start=0.3),
        until=lambda run: False,
        when_ready=lambda: pytest.fail("It is not ready."),
    )
    assert run.code == 1
    assert "No answer from it in 0 s." in caplog.text


def test_one_that_is_killed_before_it_answers_has_its_time_again(tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    # Killed twice in the time that one start has, it answers at the third.
    starting = f"""
import os, signal, time
number = len(os.listdir({str(tmp_path)!r}))
open(os.path.join({str(tmp_path)!r}, str(number)), "w")
if number < 2:
    time.sleep(2.5)
    os.kill(os.getpid(), signal.SIGKILL)
open({str(sign)!r}, "w")
print('up', flush=True)
time.sleep(600)
"""
    limits = Limits(start=4, first_restart=0.01)
    assert Run([program(starting, answers=sign.exists)], limits=limits).code == 7


def test_stages_stop_in_the_opposite_order() -> None:
    polite = """
import signal, sys, time
def end(*_): print('bye', flush=True); sys.exit()
signal.signal(signal.SIGTERM, end)
print('up', flush=True)
time.sleep(600)
"""
    names = ["a", "b", "c"]
    run = Run(
        *[[program(polite, name=name)] for name in names],
        until=lambda run: run.said().count("up") == 3 and "bye" not in run.said(),
    )
    assert [name for name, line in run.lines if line == "bye"] == ["c", "b", "a"]


def test_a_program_that_ignores_the_request_is_killed_at_the_deadline(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = Run([program(DEAF, name="deaf")], limits=Limits(stop=0.5))
    assert run.said() == ["up", "deaf"]
    assert 0.5 <= run.seconds < 5
    assert "Killing what does not stop: deaf." in caplog.text


def test_ctrl_c_while_stopping_stops_at_once() -> None:
    def interrupt(run: Run) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return False

    run = Run([program(DEAF)], limits=Limits(stop=600), until=interrupt)
    assert run.said() == ["up", "deaf"]
    assert run.code == 0
    assert run.seconds < 60


def test_sigterm_while_stopping_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def terminate(run: Run) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return False

    Run([program(DEAF)], limits=Limits(stop=0.5), until=terminate)
    assert "Killing what does not stop: it." in caplog.text


def test_a_program_that_stands_still_is_replaced_when_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pids: list[int] = []

    def freeze(run: Run) -> bool:
        pids.append(int(run.said()[-1]))
        if len(run.lines) == 2:  # Both run.
            frozen = next(int(pid) for name, pid in run.lines if name == "frozen")
            os.kill(frozen, signal.SIGSTOP)
            run.supervisor.restart("frozen")
        return len(run.lines) == 3

    show_pid = "import os; print(os.getpid(), flush=True); import time; time.sleep(600)"
    # Not even one death would be forgiven.
    run = Run(
        [program(show_pid, name="frozen"), program(show_pid, name="other")],
        limits=Limits(stop=5, start=10, failures_at_start=1),
        until=freeze,
    )
    assert run.code == 7
    assert [name for name, _ in run.lines].count("frozen") == 2
    assert len(set(pids)) == 3
    for pid in pids:
        wait_for_end(pid)
    assert "frozen runs but does nothing any more; it is restarted." in caplog.text
    assert "other runs" not in caplog.text


def test_one_that_waits_to_be_started_again_waits_no_longer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def restart(run: Run) -> bool:
        if run.said() == ["up"]:
            Thread(target=restart_once_dead, args=[run.supervisor], daemon=True).start()
        return run.said() == ["up", "up"]

    def restart_once_dead(supervisor: Supervisor) -> None:
        while "it is started again in 600 s" not in caplog.text:
            sleep(0.02)
        supervisor.restart("it")

    limits = Limits(first_restart=600, longest_restart=600, failures_at_start=100)
    assert Run([program(DYING)], limits=limits, until=restart).code == 7


def test_a_program_that_is_not_run_cannot_be_replaced(caplog: pytest.LogCaptureFixture) -> None:
    def restart(run: Run) -> bool:
        if len(run.lines) == 2:  # Both run.
            run.supervisor.restart("nobody")
            run.supervisor.restart("other")
        return len(run.lines) == 3

    programs = [program(FOREVER, name="it"), program(FOREVER, name="other")]
    run = Run(programs, until=restart)
    assert run.lines[-1] == ("other", "up")
    assert "other runs but does nothing any more; it is restarted." in caplog.text
    assert caplog.text.count("restarted") == 1


@pytest.mark.parametrize("end", ["raise SystemExit(1)", "time.sleep(600)"])
def test_what_a_program_has_started_ends_with_it(end: str) -> None:
    parent = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
print(child.pid, flush=True)
{end}
"""
    again = 2 if "raise" in end else 1
    run = Run([program(parent)], until=lambda run: len(run.lines) == again)
    for pid in run.said():
        wait_for_end(int(pid))


def test_an_error_of_our_own_leaves_nothing_running() -> None:
    pids: list[int] = []

    def fail() -> None:
        pids.extend(child.pid for child in psutil.Process().children() if child not in before)
        raise RuntimeError("on purpose")

    before = psutil.Process().children()
    with pytest.raises(RuntimeError, match="on purpose"):
        Run([program(FOREVER)], until=lambda run: False, when_ready=fail)
    assert len(pids) == 1
    assert not is_alive(pids[0])


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux kills with the parent.")
def test_programs_die_with_a_supervisor_that_is_killed() -> None:
    supervisor = """
import sys
from mailing_manager_project.launcher.process import ManagedProcess, Program
from mailing_manager_project.launcher.supervisor import Supervisor
code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
on_line = lambda name, line: print(line, flush=True)
Supervisor([[Program("it", [sys.executable, "-c", code])]], on_line=on_line).run(lambda: None)
"""
    with subprocess.Popen([sys.executable, "-c", supervisor], stdout=subprocess.PIPE) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        assert is_alive(pid)
        process.kill()
    wait_for_end(pid)


def test_what_happens_is_logged_with_the_level_that_it_deserves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    Run([program(DYING)], until=lambda run: run.said().count("up") == 2)
    levels = {
        re.sub(r" .*", "", record.getMessage()): record.levelname for record in caplog.records
    }
    assert levels == {
        "it": "ERROR",
        "Starting": "INFO",
        "Stopping.": "INFO",
        "Stopped.": "INFO",
    }
