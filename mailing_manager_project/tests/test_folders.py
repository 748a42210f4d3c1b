"""Programs that are started by hand, on a fresh clone: nothing needs what only main.py makes."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mailing_manager_project.environment import BASE_DIR
from tests.main_program import PATIENCE, clean_environment

ELSEWHERE = "postgres://nobody@127.0.0.1:1/nothing"
CELERY = ("celery", "-A", "mailing_manager_project")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder for the installation that does not exist yet."""
    return tmp_path / "deep" / "var"


def run(
    folder: Path, module: str, *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run one of the programs with no more than a key, whatever is usual for new files here."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=BASE_DIR,
        env=clean_environment(folder, SECRET_KEY="only-for-tests", **environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        umask=0o022,
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.flow
def test_migrate_makes_the_folder_of_its_database_for_us_alone(folder: Path) -> None:
    result = run(folder, "manage", "migrate")
    assert (result.returncode, result.stderr) == (0, "")
    assert mode(folder) == 0o700
    assert (folder / "db.sqlite3").exists()


@pytest.mark.flow
def test_queues_in_files_have_their_folder(folder: Path) -> None:
    elsewhere = {"CELERY_BROKER_URL": "filesystem://", "DATABASE_URL": ELSEWHERE}
    result = run(folder, "manage", "check", **elsewhere)
    assert result.returncode == 0, result.stderr
    assert mode(folder) == mode(folder / "queue") == 0o700


@pytest.mark.flow
def test_with_database_and_broker_elsewhere_no_folder_is_needed(folder: Path) -> None:
    result = run(folder, "manage", "check", DATABASE_URL=ELSEWHERE)
    assert result.returncode == 0, result.stderr
    assert not folder.exists()


@pytest.mark.flow
@pytest.mark.parametrize(
    "command",
    [
        ("manage", "migrate"),
        ("manage", "runserver", "0"),
        (*CELERY, "worker", "-Q", "mailings,messages"),
        (*CELERY, "beat"),
    ],
    ids=" ".join,
)
def test_a_folder_that_cannot_be_made_is_one_clear_line(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    result = run(tmp_path / "file" / "var", *command)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1, result.stderr
    assert f"cannot start. {tmp_path}/file/var cannot be written: Not a directory." in result.stderr


@pytest.mark.flow
def test_a_database_elsewhere_on_this_machine_is_nobodys_to_make(folder: Path) -> None:
    result = run(folder, "manage", "migrate", DATABASE_URL=f"sqlite:///{folder}-of-another/db")
    assert "unable to open database file" in result.stderr
    assert os.listdir(folder.parent.parent) == []
