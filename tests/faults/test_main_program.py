"""main.py keeps everything running, whatever is killed."""

import time
from collections import Counter
from random import Random

import psutil
import pytest

from tests.faults.conftest import Build
from tests.faults.sizes import size
from tests.main_program import MainProgram

pytestmark = pytest.mark.faults

RATE = 40  # messages a second, so that there is something to send until the last kill
# What the command line of each program's processes contains.
SIGNS = {
    "web": "gunicorn",
    "beat": " beat ",
    "mailings": "mailings@",
    "messages": "messages@",
    "redis": "redis",
}

# A worker of Celery 5.7 that meets a dead process of its pool while it connects to the broker
# anew. It ends, and main.py starts another.
CELERYS_DEFECT = "Unrecoverable error: ValueError('file descriptor is None')"


def test_whatever_is_killed_main_never_gives_up(build: Build) -> None:
    """Kill random processes under main.py, its Redis too, and the database now and then."""
    seconds = size(60, 600)
    number = RATE * seconds
    installation = build()
    dice = installation.dice
    installation.add_clients(number)
    killed: Counter[str] = Counter()
    with installation.main_program(MESSAGE_SENDER_RATE=RATE) as program:
        installation.rest.create_mailing()
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            time.sleep(dice.uniform(0.1, 2.0))
            assert program.process.poll() is None, program.output
            if dice.random() < 0.1:
                killed["database"] += 1
                installation.crash_database(dice.uniform(0, 5))
            elif victim := _choose(program, dice):
                killed[_name(victim)] += 1
                victim.kill()
        installation.finish_sending(number)
        output = program.output
        assert program.stop() == 0
    installation.figures["strikes"] = killed.total()
    installation.figures |= {f"{name} killed": times for name, times in killed.items()}
    assert "giving up" not in output
    assert output.count("Traceback") == output.count(CELERYS_DEFECT), output


def _choose(program: MainProgram, dice: Random) -> psutil.Process | None:
    """Choose a process under main.py, each program as often as another; none when there is none."""
    victims: dict[str, list[psutil.Process]] = {}
    for process in psutil.Process(program.process.pid).children(recursive=True):
        if name := _name(process):
            victims.setdefault(name, []).append(process)
    return dice.choice(victims[dice.choice(sorted(victims))]) if victims else None


def _name(process: psutil.Process) -> str:
    """Return which program a process belongs to; nothing if it is gone."""
    try:
        words = " ".join(process.cmdline())
    except psutil.Error:
        return ""
    return next((name for name, sign in SIGNS.items() if sign in words), "")
