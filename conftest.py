"""Where the tests run: on Postgres, or on SQLite when TEST_DATABASE says so."""

import atexit
import os
import tempfile
from contextlib import ExitStack

from tests.servers import private_postgres

# Settings are read when pytest-django starts, so the database must be known before. Only the
# controlling process starts servers; its xdist workers inherit the addresses.
if "PYTEST_XDIST_WORKER" not in os.environ:
    resources = ExitStack()
    atexit.register(resources.close)
    os.environ["VAR_DIR"] = resources.enter_context(
        tempfile.TemporaryDirectory(prefix="mailing-test-")
    )
    os.environ["SECRET_KEY"] = "only-for-tests"
    os.environ["CELERY_BROKER_URL"] = "memory://"
    os.environ["MESSAGE_SENDER_URL"] = "http://127.0.0.1:1/v1"
    os.environ["MESSAGE_SENDER_TOKEN"] = ""
    if os.environ.get("TEST_DATABASE") == "sqlite":
        os.environ["DATABASE_URL"] = f"sqlite:///{os.environ['VAR_DIR']}/db.sqlite3"
    else:
        os.environ["DATABASE_URL"] = resources.enter_context(private_postgres(fsync="off"))
