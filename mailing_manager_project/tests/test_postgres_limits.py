"""How long each program waits for Postgres."""

import os
import subprocess
import sys
from typing import Any

import pytest
from django.db import connection

from mailing_manager_project.environment import BASE_DIR
from mailing_manager_project.postgres_limits import add_limits, web
from tests.main_program import PATIENCE

POSTGRES = "postgres://me@db.example/mailings"
# What each kind of program does before it opens a connection.
WEB_SERVER = "import mailing_manager_project.wsgi"
WORKER = """
import mailing_manager_project.celery as it
import django; django.setup()
class Worker: app = it.app
it.worker_init.send(Worker())
"""
BEAT = """
import mailing_manager_project.celery as it
import django; django.setup()
from mailing_manager_project.beat import Scheduler
Scheduler(app=it.app)
"""
COMMAND = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "mailing_manager_project.settings"
import django; django.setup()
"""
SHOW = """
from django.db import connection
with connection.cursor() as cursor:
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        cursor.execute(f"SHOW {name}")
        print(*cursor.fetchone())
"""


def run(code: str, **environment: str) -> list[str]:
    """Run Python on this test's database; return the lines it prints."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=BASE_DIR,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=PATIENCE,
    ).stdout.splitlines()


def options(url: str) -> dict[str, Any]:
    """Return the options of a database at a URL, as settings.py reads it."""
    code = "from mailing_manager_project.settings import DATABASES as d; print(d['default'])"
    (line,) = run(code, DATABASE_URL=url)
    read: dict[str, Any] = eval(line)["OPTIONS"]
    return read


def url_of_the_test() -> str:
    where = connection.settings_dict
    return f"postgres://{where['USER']}@{where['HOST']}:{where['PORT']}/{where['NAME']}"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("program", "limits"),
    [
        (WEB_SERVER, ["5s", "5s", "15s"]),
        (WORKER, ["2min", "30s", "30s"]),
        (BEAT, ["15s", "15s", "15s"]),
        (COMMAND, ["0", "0", "0"]),
    ],
    ids=["web", "worker", "beat", "manage.py"],
)
def test_each_kind_of_program_has_limits_of_its_own(program: str, limits: list[str]) -> None:
    assert run(program + SHOW, DATABASE_URL=url_of_the_test()) == limits


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_what_the_address_says_counts_more() -> None:
    url = f"{url_of_the_test()}?options=-c%20lock_timeout%3D7s"
    assert run(WEB_SERVER + SHOW, DATABASE_URL=url) == ["5s", "7s", "15s"]


def test_a_dead_link_is_given_up_after_ten_seconds() -> None:
    found = options(POSTGRES)
    assert found["tcp_user_timeout"] == 10_000
    idle, interval = found["keepalives_idle"], found["keepalives_interval"]
    assert idle + interval * found["keepalives_count"] <= 15


def test_the_link_is_the_address_to_choose() -> None:
    found = options(f"{POSTGRES}?tcp_user_timeout=60000&sslmode=require")
    assert int(found["tcp_user_timeout"]) == 60_000
    assert (found["sslmode"], found["keepalives"]) == ("require", 1)


@pytest.mark.parametrize(("engine", "is_behind_pooler"), [("postgresql", True), ("sqlite3", False)])
def test_a_pooler_and_sqlite_are_asked_for_nothing(engine: str, is_behind_pooler: bool) -> None:
    database: dict[str, Any] = {
        "ENGINE": f"django.db.backends.{engine}",
        "DISABLE_SERVER_SIDE_CURSORS": is_behind_pooler,
        "OPTIONS": {},
    }
    add_limits(database, web(5))
    assert database["OPTIONS"] == {}
