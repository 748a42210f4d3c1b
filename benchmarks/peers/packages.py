"""The virtual environment of the peers, so that that of the product stays as it is."""

import hashlib
import json
import os
import subprocess
import tempfile
import venv
from functools import cache
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements-peers.txt"


@cache
def python() -> str:
    """Return the peers' Python; install what it needs if that was not done yet.

    The environment is kept under VAR_DIR, or else with the temporary files, until the requirements
    change.
    """
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = Path(os.environ.get("VAR_DIR", tempfile.gettempdir())) / f"mailing-peers-{wanted}"
    executable, installed = folder / "bin" / "python", folder / "installed"
    if not installed.exists():
        venv.create(folder, with_pip=True, clear=True)
        command = [str(executable), "-m", "pip", "install", "-qq", "-r", str(REQUIREMENTS)]
        subprocess.run(command, check=True)
        installed.touch()
    return str(executable)


def version(package: str) -> str:
    """Return the version of an installed package of the peers."""
    code = f"import importlib.metadata as m, json; print(json.dumps(m.version({package!r})))"
    output = subprocess.run([python(), "-c", code], check=True, capture_output=True, text=True)
    found: str = json.loads(output.stdout)
    return found
