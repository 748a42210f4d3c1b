"""The engine at work: real workers, a broker, a database and the sandbox sender."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from mailing_manager_project.environment import BASE_DIR
from tests.installation import HOUR, Installation, Template
from tests.log import Event, read
from tests.otlp import Collector, Taken, collecting
from tests.sandbox import TOKEN
from tests.servers import private_postgres, private_redis

pytestmark = pytest.mark.flow

PATIENCE = 60  # seconds; a broker that says nothing would hold a client for ever
REQUEST_TIMEOUT = 10  # seconds; the default of MESSAGE_SENDER_TIMEOUT

CREATE_MAILING = """
from datetime import timedelta
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from mailings.models import Mailing
from mailings.services import create_mailing
# Without a signal, as on a new installation: nothing has ever been changed.
PeriodicTask.objects.filter(name="start_mailing").update(enabled=False)
start = timezone.now() + timedelta(seconds=3)
mailing = Mailing(start_time=start, stop_time=start + timedelta(hours=1), text="On time")
create_mailing(mailing, now=timezone.now())
"""


Install = Callable[[str], Installation]


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, Path], str]]:
    """Return a function that makes a migrated database of a kind; it returns the URL."""
    with ExitStack() as resources:
        templates: dict[str, Template] = {}

        def make(kind: str, folder: Path) -> str:
            if kind not in templates and kind == "sqlite":
                file = tmp_path_factory.mktemp("template") / "db.sqlite3"
                templates[kind] = Template(f"sqlite:///{file}")
            elif kind not in templates:
                server = resources.enter_context(private_postgres(fsync="off"))
                templates[kind] = Template(server)
            return templates[kind].copy(folder)

        yield make


@pytest.fixture
def install(tmp_path: Path, migrated: Callable[[str, Path], str]) -> Iterator[Install]:
    """Return a function that sets up an installation on a kind of database."""
    with ExitStack() as resources:
        broker = resources.enter_context(private_redis())
        yield lambda kind: Installation(tmp_path, migrated(kind, tmp_path), broker, resources)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.mark.parametrize("database", ["postgres", "sqlite"])
def test_twenty_thousand_clients_are_sent_to_exactly_once(install: Install, database: str) -> None:
    installation = install(database)
    installation.start_workers()
    installation.add_clients(20_000)
    mailing = installation.add_mailing(start=-HOUR, stop=HOUR)
    installation.fire("start_mailing", mailing)
    installation.wait_for(lambda: installation.messages() == {"success": 20_000})
    installation.check_that_each_was_sent_once(20_000)


def test_a_plain_worker_does_everything_and_it_can_be_followed(
    install: Install, collector: Collector
) -> None:
    """As every tutorial starts one: `celery -A mailing_manager_project worker`."""
    installation = install("postgres")
    installation.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
    installation.environment["OTEL_BSP_SCHEDULE_DELAY"] = "100"  # milliseconds
    installation.start_worker()
    installation.start_beat()
    port = installation.start_web()
    installation.manage("createsuperuser", "--noinput", "--username=op", "--email=op@example.com")
    token = installation.manage("create_api_token", "op", "--name=The shop").split()[-1]
    installation.add_clients(1_000)
    installation.wait_until_ready()
    shop = {"Authorization": f"Bearer {token}", "X-Request-Id": "from-the-shop"}
    now = datetime.now(UTC)
    times = {"start_time": now.isoformat(), "stop_time": (now + HOUR).isoformat()}
    _call(port, shop, "POST", "mailings/", json={**times, "text": "Hello", "filters": {}})
    _call(port, shop, "GET", "clients/?search=79000000001")
    installation.wait_for(lambda: installation.messages() == {"success": 1_000})
    installation.check_that_each_was_sent_once(1_000)

    def delivered() -> list[Event]:
        return [each for each in events() if each["logger"] == "messages_app.engine.pump"]

    def events() -> list[Event]:
        return [event for log in installation.folder.glob("*.log") for event in read(log)]

    # A log is lines of JSON, and each says for which request it was written.
    installation.wait_for(lambda: sum(each["accepted"] for each in delivered()) == 1_000)
    post, get = sorted(
        (each for each in events() if each["logger"] == "access"), key=lambda each: -each["status"]
    )
    assert (post["event"], get["event"]) == ("POST /api/v1/mailings/", "GET /api/v1/clients/")
    assert (post["status"], post["user"], post["token"]) == (201, "op", "The shop")
    for each in (post, get, *delivered()):
        assert each["request_id"] == "from-the-shop"
    known = {"mailing": 1, "task": "send_message"}
    assert all(known.items() <= each.items() for each in delivered())
    assert "parent_task_id" not in str(delivered())  # Nothing else is carried along.
    assert not [each for each in events() if each["level"] not in ("info", "warning")]
    text = str(events())
    for secret in (token, TOKEN, "79000000001", "only-for-tests"):
        assert secret not in text

    # And as traces: the request, and the deliveries that it has led to.
    def spans(of: str, said: str = "") -> list[Taken]:
        return [span for span in collector.spans if span.name == of and said in str(span.events)]

    def deliveries() -> list[Taken]:
        return spans("run/send_message", said="The sender accepted")

    installation.wait_for(lambda: len(deliveries()) == len(delivered()))
    (request,) = spans("POST api/v1/mailings/")
    for span in (request, *deliveries()):
        assert (span.trace, span.attributes["request_id"]) == (request.trace, "from-the-shop")
    assert {span.attributes["mailing"] for span in deliveries()} == {1}
    assert "search" not in str(collector.spans)
    assert "79000000001" not in str(collector.spans)


def _call(port: int, headers: dict[str, str], method: str, path: str, **options: Any) -> None:
    """Call the API, without a proxy between us."""
    url = f"http://127.0.0.1:{port}/api/v1/{path}"
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(method, url, headers=headers, timeout=PATIENCE, **options)
    answer.raise_for_status()


def test_two_workers_at_once_share_the_work(install: Install) -> None:
    installation = install("postgres")
    installation.environment["MESSAGE_SENDER_PROCESSES"] = "4"
    installation.sandbox.set_faults(latency=0.05)
    installation.start_worker("mailings")
    logs = [installation.start_worker("messages") for _ in range(2)]
    installation.add_clients(8_000)
    installation.wait_until_ready()
    installation.fire("start_mailing", installation.add_mailing(start=-HOUR, stop=HOUR))
    installation.wait_for(lambda: installation.messages() == {"success": 8_000})
    installation.check_that_each_was_sent_once(8_000)
    assert all("The sender accepted" in log.read_text() for log in logs)


def test_a_mailing_started_ten_times_at_once_is_sent_once(install: Install) -> None:
    installation = install("postgres")
    installation.add_clients(5_000)
    mailing = installation.add_mailing(start=-HOUR, stop=HOUR)
    for _ in range(10):
        installation.fire("start_mailing", mailing)
        installation.fire("start_mailing")
    installation.start_workers()
    installation.wait_for(lambda: installation.messages() == {"success": 5_000})
    installation.check_that_each_was_sent_once(5_000)


def test_a_mailing_of_zero_clients_is_run_and_finished(install: Install) -> None:
    installation = install("postgres")
    installation.start_workers()
    installation.fire("start_mailing", installation.add_mailing(start=-HOUR, stop=HOUR))
    installation.wait_for(lambda: installation.mailing() == ("running", None, None))
    installation.query("UPDATE mailings_mailing SET stop_time = now() RETURNING id")

    def is_finished() -> bool:
        installation.fire("finish_mailing")
        return installation.mailing() == ("finished", 0, 0)

    installation.wait_for(is_finished)
    assert (installation.messages(), installation.sandbox.sends()) == ({}, 0)


def test_a_mailing_that_is_over_already_sends_nothing(install: Install) -> None:
    installation = install("postgres")
    installation.start_workers()
    installation.add_clients(10)
    mailing = installation.add_mailing(start=-2 * HOUR, stop=-HOUR)
    installation.fire("start_mailing", mailing)
    installation.fire("start_mailing")
    installation.fire("finish_mailing")
    installation.wait_for(lambda: installation.mailing() == ("finished", 0, 0))
    assert (installation.messages(), installation.sandbox.sends()) == ({}, 0)


def test_what_is_planned_and_not_sent_in_time_is_accounted_for(install: Install) -> None:
    installation = install("postgres")
    installation.sandbox.set_faults(latency=1.0)
    installation.start_workers()
    installation.add_clients(5_000)
    installation.wait_until_ready()
    mailing = installation.add_mailing(start=-HOUR, stop=timedelta(seconds=8))
    installation.fire("start_mailing", mailing)

    def is_finished() -> bool:
        installation.fire("finish_mailing")
        return bool(installation.mailing()[0] == "finished")

    installation.wait_for(is_finished)
    sent = installation.sandbox.stats()["unique"]
    assert 0 < sent < 5_000
    assert installation.messages() == {"success": sent, "fail": 5_000 - sent}
    assert installation.mailing() == ("finished", sent, 5_000 - sent)
    stopped_at = installation.query("SELECT stop_time FROM mailings_mailing")[0][0]
    # What was begun before the stop may arrive until its request ends; test_delivery.py holds
    # that none is begun later.
    last = installation.sandbox.stats()["last_accepted_at"]
    assert last <= stopped_at.timestamp() + REQUEST_TIMEOUT


@pytest.mark.parametrize("database", ["postgres", "sqlite"])
def test_the_first_mailing_is_started_by_the_clock_without_waiting_for_the_tick(
    install: Install, database: str
) -> None:
    installation = install(database)
    installation.start_workers()
    installation.add_clients(10)
    installation.start_beat()
    installation.wait_until_ready()
    installation.run(CREATE_MAILING)
    installation.wait_for(lambda: installation.messages() == {"success": 10})
    installation.check_that_each_was_sent_once(10)
    sql = "SELECT start_time, (SELECT MIN(sent_at) FROM messages_app_message) FROM mailings_mailing"
    ((start, first),) = installation.query(sql)
    assert start <= first


def test_the_doctor_finds_all_well_and_waits_for_no_silent_broker(
    install: Install, tmp_path: Path
) -> None:
    installation = install("postgres")
    tmp_path.chmod(0o700)
    installation.environment["API_RATE"] = "600/min"
    installation.start_worker()
    installation.start_beat()
    installation.wait_until_ready()
    installation.fire("start_mailing")  # the tick, which else comes by once a minute
    installation.wait_for(
        lambda: installation.query("SELECT count(*) FROM messages_app_heartbeat") == [(3,)]
    )

    assert _examine(installation) == {
        **dict.fromkeys(("database", "migrations", "clock", "sending", "token"), "ok"),
        **dict.fromkeys(("settings", "broker", "sender", "storage", "disk", "spool"), "ok"),
        "heartbeats": "ok, ok, ok",
        "workers": "ok, ok, ok, ok",
    }

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        installation.environment["CELERY_BROKER_URL"] = address
        began_at = time.monotonic()
        found = _examine(installation)
        seconds = time.monotonic() - began_at
    assert (found["broker"], found["database"]) == ("error", "ok")
    assert seconds < PATIENCE


def _examine(installation: Installation) -> dict[str, str]:
    """Return {check of the doctor: how bad each of its findings is}."""
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json"],
        cwd=BASE_DIR,
        env=installation.environment,
        stdout=subprocess.PIPE,
        check=False,
    )
    report = json.loads(done.stdout)
    assert {"ok": 0, "warning": 1, "error": 2}[report["level"]] == done.returncode
    levels: dict[str, list[str]] = {}
    for each in report["checks"]:
        levels.setdefault(each["check"], []).append(each["level"])
    return {check: ", ".join(found) for check, found in levels.items()}
