"""The machine and the versions that benchmarks were measured with."""

import os
import platform
import subprocess
from importlib.metadata import version

from tests.programs import postgres_folder, redis_executable

PACKAGES = ("django", "celery", "kombu", "psycopg", "pycurl", "uvloop")


def describe() -> list[tuple[str, str]]:
    """Return (name, value) of everything about this machine that decides speed."""
    facts = [
        ("processor", f"{_processor()}, {os.cpu_count()} cores"),
        ("memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"),
        ("system", f"{platform.system()} {platform.release()}"),
        ("Python", platform.python_version()),
        ("Postgres", _first_line(str(postgres_folder() / "postgres"), "--version")),
        ("Redis", _first_line(redis_executable(), "--version")),
    ]
    return facts + [(name, version(name)) for name in PACKAGES]


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _first_line(*command: str) -> str:
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return " ".join(output.split()[:3])
