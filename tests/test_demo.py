"""The demo, as `make demo` runs it: from a clients file to every message accounted for."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from clients.models import Client
from mailing_manager_project.launcher.demo import report
from mailings.models import Mailing
from messages_app.models import Message
from sandbox_sender.journal import read_journal
from tests.main_program import MainProgram, manage, query, running, wait_until
from tests.servers import private_postgres, private_redis

SIZE = 2000  # clients in the sample
DELIVERED = "0 pending, 2,000 success, 0 fail, 2,000 total. The sandbox accepted 2,000."

opener = build_opener(ProxyHandler({}))


@pytest.mark.flow
def test_the_demo_delivers_to_every_client_and_can_be_repeated(tmp_path: Path) -> None:
    with running(tmp_path, "--demo") as program:
        assert program.wait_for_end() == 0, program.output
        assert "redis, sandbox, web" in program.lines[0]
        assert f"Mailing 1: {DELIVERED}" in program.output
        assert f"http://127.0.0.1:{program.port}/api/v1/docs/" in program.output
        assert f"http://127.0.0.1:{program.sandbox_port}/" in program.output
        assert program.output.count("with the password") == 1
        assert program.processes() == []

    # The same installation, this time with its queues in files.
    with running(tmp_path, "--demo", CELERY_BROKER_URL="filesystem://localhost") as program:
        assert program.wait_for_end() == 0, program.output
        assert "Starting sandbox, web" in program.lines[0]
        assert f"Mailing 2: {DELIVERED}" in program.output
        assert "with the password" not in program.output
        assert program.processes() == []

    assert query(tmp_path, "SELECT count(*) FROM clients_client") == [(SIZE,)]
    accepted = read_journal(tmp_path / "sandbox_journal").accepted
    assert accepted.total() == len(accepted) == 2 * SIZE


@pytest.mark.flow
def test_the_demo_works_on_postgres_and_a_redis_that_is_set(tmp_path: Path) -> None:
    with (
        private_postgres(fsync="off") as database,
        private_redis() as broker,
        running(tmp_path, "--demo", DATABASE_URL=database, CELERY_BROKER_URL=broker) as program,
    ):
        assert program.wait_for_end() == 0, program.output
        assert "Starting sandbox, web" in program.lines[0]
        assert f"Mailing 1: {DELIVERED}" in program.output
        assert not (tmp_path / "db.sqlite3").exists()
        assert not (tmp_path / "redis").exists()


@pytest.mark.flow
def test_a_worker_that_is_killed_is_started_again_and_everything_arrives(tmp_path: Path) -> None:
    with running(tmp_path, "--demo") as program:
        program.wait_for("Sandbox sender:")
        # So slow that the mailing takes a while.
        set_faults(program, latency=0.5)
        wait_until(lambda: accepted(program) > 0, program)
        worker = program.find("--queues=messages")
        worker.kill()
        set_faults(program)
        program.wait_for("messages was killed by SIGKILL")
        program.wait_for("Starting messages again.")
        assert "success" not in program.output, "It was all over before the worker was killed."
        pretend_a_minute_passed(program)
        assert program.wait_for_end() == 0, program.output
        assert f"Mailing 1: {DELIVERED}" in program.output


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("clients", "sent", "arrived", "is_good"),
    [(3, 3, 3, True), (4, 3, 3, False), (3, 2, 2, False), (3, 3, 2, False), (3, 3, 4, False)],
)
def test_the_demo_is_good_when_the_counts_and_the_sandbox_agree(
    clients: int,
    sent: int,
    arrived: int,
    is_good: bool,
    make_clients: Callable[..., list[Client]],
    make_mailing: Callable[..., Mailing],
    tmp_path: Path,
) -> None:
    mailing = make_mailing()
    messages = [
        Message.objects.create(
            mailing=mailing,
            client=client,
            phone_number=client.phone_number,
            status="success" if number < sent else "fail",
            sent_at=mailing.start_time + timedelta(seconds=2),
        )
        for number, client in enumerate(make_clients(3))
    ]
    # Strangers of other mailings are in the journal too, and an id may be there twice.
    ids = [*(each.sender_id for each in messages), messages[0].sender_id][:arrived]
    lines = [f"accepted\t{pk}\t79991234567\t1.0\n" for pk in [*ids, 999_999]]
    journal = tmp_path / "journal"
    journal.write_text("".join(lines))
    said: list[str] = []
    assert report(mailing, clients, journal, said.append) is is_good
    assert f"{sent} success, {3 - sent} fail, 3 total. The sandbox accepted {arrived}." in said[0]
    assert said[1] == f"It took 2.0 s, {sent / 2:.0f} messages/s."


def set_faults(program: MainProgram, **faults: float) -> None:
    address = f"http://127.0.0.1:{program.sandbox_port}/faults"
    opener.open(Request(address, json.dumps(faults).encode(), method="PUT")).close()


def accepted(program: MainProgram) -> int:
    with opener.open(f"http://127.0.0.1:{program.sandbox_port}/stats") as answer:
        return int(json.load(answer)["accepted"])


EXPIRE_AND_TICK = """
from django.utils import timezone
from mailings.tasks import start_mailing
from messages_app.models import Doorbell, Message
now = timezone.now()
Message.objects.exclude(lease_until=None).update(lease_until=now)
Doorbell.objects.update(expires_at=now)
start_mailing()
"""


def pretend_a_minute_passed(program: MainProgram) -> None:
    """Let the leases and doorbells of a dead worker expire, and the clock tick."""
    manage(program.folder, "shell", "-v0", "-c", EXPIRE_AND_TICK)
