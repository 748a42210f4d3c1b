"""Make the secrets of an installation, once: python make_secrets.py FOLDER POSTGRES_HOST:PORT.

What is there already stays, so a restart changes nothing.
"""

import os
import secrets
import sys
from pathlib import Path


def write(path: Path, value: str) -> None:
    """Write a file that only its owner reads, unless it exists."""
    if not path.exists():
        unfinished = path.with_suffix(".new")
        unfinished.write_text(f"{value}\n")
        unfinished.rename(path)


os.umask(0o077)
folder = Path(sys.argv[1])
write(folder / "secret_key", secrets.token_urlsafe(64))
write(folder / "postgres_password", secrets.token_urlsafe(32))
password = (folder / "postgres_password").read_text().strip()
account = f"postgres://mailing:{password}"
write(folder / "database_url", f"{account}@{sys.argv[2]}/mailing")
# For PgBouncer (deploy/compose/pgbouncer.yaml).
pooled = f"{account}@pgbouncer:6432/mailing?disable_server_side_cursors=True"
write(folder / "pooled_database_url", pooled)
write(folder / "pgbouncer_users", f'"mailing" "{password}"')
