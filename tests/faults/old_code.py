"""The code as it was, whose programs run beside ours."""

import os
import subprocess
from pathlib import Path

from mailing_manager_project.environment import BASE_DIR

LAST_MIGRATION = ["git", "log", "-1", "--format=%H", "--", "*/migrations/*.py"]


def lay_out(folder: Path) -> Path:
    """Lay out the code before the last migration, or of FAULTS_OLD_COMMIT; return its folder.

    The repository's history must be there.
    """
    commit = os.environ.get("FAULTS_OLD_COMMIT") or f"{_git(LAST_MIGRATION)}^"
    folder.mkdir()
    archive = folder / "code.tar"
    _git(["git", "archive", f"--output={archive}", commit])
    subprocess.run(["tar", "-xf", archive], cwd=folder, check=True)
    return folder


def _git(command: list[str]) -> str:
    return subprocess.run(
        command, cwd=BASE_DIR, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
