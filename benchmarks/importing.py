"""Imports files of clients by the product's own command, and looks at its memory meanwhile."""

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.environment import PROJECT, Environment

CODES = range(900, 1_000)
TAGS = ("vip", "new", "regular", "")
ZONES = ("Europe/Moscow", "Asia/Omsk", "Asia/Vladivostok", "")
LOOK_EVERY = 0.2  # seconds


class Import(NamedTuple):
    """How an import went: seconds, the seconds its process computed, and its memory at most."""

    seconds: float
    processor_seconds: float
    megabytes: float


@contextmanager
def clients_file(number: int, *, changed: float = 0) -> Iterator[Path]:
    """Write a CSV file of clients; a share of them, `changed`, has another tag than otherwise."""
    chance = random.Random(1)  # the same file each time
    with tempfile.TemporaryDirectory(prefix="mailing-clients-") as folder:
        path = Path(folder) / "clients.csv"
        with path.open("w", encoding="utf-8") as file:
            file.write("phone_number,operator_code,tag,timezone\n")
            for i in range(number):
                phone = f"+7{CODES[i % len(CODES)]}{i:07}"
                tag, zone = chance.choice(TAGS), chance.choice(ZONES)
                if i % 100 < changed * 100:
                    tag = "changed"
                file.write(f"{phone},,{tag},{zone}\n")
        yield path


def run_import(installation: Environment, path: Path) -> Import:
    """Run `manage.py import_clients` to its end."""
    began_at = time.perf_counter()
    command = [sys.executable, "manage.py", "import_clients", str(path)]
    with psutil.Popen(command, cwd=PROJECT, env=installation.env, stdout=subprocess.DEVNULL) as run:
        most = spent = 0.0
        while run.poll() is None:
            try:
                most = max(most, run.memory_full_info().pss / 1e6)
                spent = sum(run.cpu_times()[:2])
            except psutil.Error:
                break  # it ended between the two
            time.sleep(LOOK_EVERY)
        if run.wait():
            raise RuntimeError(f"{path}: the import ended with {run.returncode}.")
    return Import(time.perf_counter() - began_at, spent, most)
