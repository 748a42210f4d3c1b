"""The environment, and the folder of this installation's own files. Imports no Django."""

from pathlib import Path

import environ

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
if (BASE_DIR / ".env").is_file():
    env.read_env(BASE_DIR / ".env")

# SQLite database, secret key, embedded Redis, sandbox journal.
VAR_DIR: Path = BASE_DIR / env.str("VAR_DIR", default="var")
# Where main.py leaves the address of a broker of its own, so that manage.py finds it too.
BROKER_FILE = VAR_DIR / "broker_url"


class SetupError(Exception):
    """The program cannot start here; the text is one line that says why and what to do."""
