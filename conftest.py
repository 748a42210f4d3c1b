"""Where the tests run (on Postgres, or on SQLite when TEST_DATABASE says so), and with what."""

import atexit
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from queue import Empty
from threading import Barrier
from typing import TYPE_CHECKING, Any

import django
import pytest
from celery import current_app
from django.apps import apps
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils import timezone
from kombu import Connection
from kombu.pools import producers
from pytest_django import Settings

from tests.servers import private_postgres

if TYPE_CHECKING:
    from clients.models import Client
    from mailings.models import Mailing

pytest_plugins = ["tests.sandbox", "tests.rest"]

# Only the controlling process starts servers; its xdist workers inherit the addresses.
if "PYTEST_XDIST_WORKER" not in os.environ:
    resources = ExitStack()
    atexit.register(resources.close)
    os.environ["VAR_DIR"] = resources.enter_context(
        tempfile.TemporaryDirectory(prefix="mailing-test-")
    )
    os.environ["SECRET_KEY"] = "only-for-tests"
    os.environ["CELERY_BROKER_URL"] = "memory://"
    os.environ["API_RATE"] = ""  # All tests of a process would be counted as one.
    os.environ["MESSAGE_SENDER_URL"] = "http://127.0.0.1:1/v1"
    os.environ["MESSAGE_SENDER_TOKEN"] = ""
    if os.environ.get("TEST_DATABASE") == "sqlite":
        os.environ["DATABASE_URL"] = f"sqlite:///{os.environ['VAR_DIR']}/db.sqlite3"
    else:
        os.environ["DATABASE_URL"] = resources.enter_context(private_postgres(fsync="off"))

# Here and not in pytest.ini, from where pytest-django would read the settings before this file.
os.environ["DJANGO_SETTINGS_MODULE"] = "mailing_manager_project.settings"
django.setup()

numbers = count(79_990_000_001)


def _restore_sending_control(**_: object) -> None:
    """Save the row that a migration made, because a test may have emptied the tables."""
    apps.get_model("messages_app", "SendingControl").objects.get_or_create(pk=1)


post_migrate.connect(_restore_sending_control, sender=apps.get_app_config("messages_app"))


@pytest.hookimpl(tryfirst=True)  # before -m looks at markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use a database, so that on another one only these are run again."""
    for item in items:
        uses = {"db", "transactional_db"} & {*getattr(item, "fixturenames", ())}
        if uses or item.get_closest_marker("django_db"):
            item.add_marker("database")


@pytest.fixture(autouse=True)
def _own_spool(settings: Settings, tmp_path: Path) -> None:
    """Keep what a test's deliveries note down away from those of other tests."""
    settings.SPOOL_DIR = tmp_path / "spool"


@pytest.fixture(autouse=True)
def _static_files_when_asked_for(settings: Settings) -> None:
    """Have a test's browser not look through all static files before its first request.

    Each makes the middleware anew, and that took longer than most of the tests.
    """
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture
def now() -> datetime:
    """Return the moment the test is about."""
    return timezone.now()


@pytest.fixture
def own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the engine read this process's clock, which a test can set, not the database's."""
    monkeypatch.setattr("toolkit.clock.now", timezone.now)
    for module in ("toolkit.clock", "messages_app.engine.claim_queue", "messages_app.engine.pump"):
        monkeypatch.setattr(f"{module}.monotonic", time.time)


@pytest.fixture
def make_clients() -> Callable[..., "list[Client]"]:
    """Return a function that saves so many clients, alike but for their numbers."""

    def make(number: int, **fields: Any) -> "list[Client]":
        model = apps.get_model("clients", "Client")
        return model.objects.bulk_create(
            model(**{"phone_number": str(next(numbers)), "operator_code": "999", **fields})
            for _ in range(number)
        )

    return make


@pytest.fixture
def make_mailing(now: datetime) -> Callable[..., "Mailing"]:
    """Return a function that saves a mailing: running since an hour, for another hour."""

    def make(**fields: Any) -> "Mailing":
        hour = timedelta(hours=1)
        defaults = {"start_time": now - hour, "stop_time": now + hour, "text": "Hello"}
        model = apps.get_model("mailings", "Mailing")
        return model.objects.create(**{**defaults, "status": "running", **fields})

    return make


@pytest.fixture
def queued() -> Callable[[], list[tuple[Any, ...]]]:
    """Return a function that empties the broker: (task, *arguments) of what was queued."""
    _take_queued()  # what tests that do not care have left
    return _take_queued


@pytest.fixture
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have tasks published to a broker that refuses connections."""
    dead = Connection("redis://127.0.0.1:1", transport_options={"socket_connect_timeout": 1})
    monkeypatch.setattr(current_app.amqp, "_producer_pool", producers[dead])


@pytest.fixture
def at_once() -> Callable[..., list[Any]]:
    """Return a function that calls functions at the same moment, each in a thread of its own."""

    def call_all(*functions: Callable[[], Any]) -> list[Any]:
        barrier = Barrier(len(functions))

        def call(function: Callable[[], Any]) -> Any:
            barrier.wait()
            try:
                return function()
            finally:
                connections.close_all()

        with ThreadPoolExecutor(len(functions)) as pool:
            return list(pool.map(call, functions))

    return call_all


def _take_queued() -> list[tuple[Any, ...]]:
    tasks = []
    with current_app.connection_for_read() as connection:
        for name in ("mailings", "messages", "imports", "webhooks"):
            queue = connection.SimpleQueue(name)
            with suppress(Empty):
                while message := queue.get_nowait():
                    message.ack()
                    tasks.append((message.headers["task"], *message.payload[0]))
            queue.close()
    return tasks
