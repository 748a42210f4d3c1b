"""The doctor says of each part whether it is well, and if not, what to do."""

import io
import json
import os
import threading
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from mailing_manager_project import queues
from mailing_manager_project.doctor import broker, database, examining, machine, sender, work
from mailing_manager_project.doctor.examining import Check, examine
from mailing_manager_project.doctor.findings import Finding, Level, error, fine, warning
from mailing_manager_project.queues import BrokerAwayError
from messages_app.models import Heartbeat, MinuteTotal, SendingControl
from messages_app.models.ledger import ALL_MAILINGS
from sandbox_sender.launch import RunningSandbox
from tests.certificates import make_certificate
from tests.sandbox import running_sandbox

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def levels(found: Iterable[Finding]) -> list[Level]:
    """Return how bad each finding is; whatever is not well has something to do."""
    findings = list(found)
    assert all(each.detail and (each.hint or each.level == Level.OK) for each in findings)
    return [each.level for each in findings]


def say(found: Iterable[Finding]) -> tuple[Level, str]:
    """Return how bad the only finding is, and what it says."""
    (finding,) = found
    assert levels([finding])
    return finding.level, finding.detail


@pytest.mark.django_db
class TestDatabase:
    def test_names_what_answers(self) -> None:
        level, detail = say(database.look())
        assert level == Level.OK
        assert "answers" in detail

    @pytest.mark.postgres
    def test_warns_while_hardly_a_connection_is_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database, "MANY", 0.0)
        assert say(database.look())[0] == Level.WARNING

    def test_names_migrations_that_are_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert say(database.look_at_migrations()) == (Level.OK, "All migrations are applied.")
        monkeypatch.setattr(
            "django.db.migrations.recorder.MigrationRecorder.applied_migrations", lambda _: {}
        )
        level, detail = say(database.look_at_migrations())
        assert level == Level.ERROR
        assert "Not applied: " in detail
        assert detail.endswith(" more.")

    @pytest.mark.parametrize(
        ("apart", "level", "words"),
        [
            (timedelta(), Level.OK, "within 5 seconds"),
            (-MINUTE, Level.WARNING, "60 s ahead of the database's"),
            (10 * MINUTE, Level.ERROR, "10 min behind the database's"),
        ],
    )
    @pytest.mark.postgres
    def test_compares_the_clocks(
        self, apart: timedelta, level: Level, words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("toolkit.clock.now", lambda: timezone.now() + apart)
        found, detail = say(database.look_at_clock())
        assert found == level
        assert words in detail


class TestBroker:
    def test_counts_the_tasks_that_wait(self) -> None:
        level, detail = say(broker.look())
        assert level == Level.OK
        assert "tasks wait" in detail

    def test_says_why_it_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(queues, "lengths", _raise(BrokerAwayError("Connection refused.")))
        level, detail = say(broker.look())
        assert level == Level.ERROR
        assert detail.endswith("does not answer: Connection refused.")

    def test_tells_queues_that_nobody_serves(
        self, monkeypatch: pytest.MonkeyPatch, settings: Settings
    ) -> None:
        settings.MESSAGE_SENDER_PROCESSES = 2
        monkeypatch.setattr(queues, "served", lambda: {"mailings": 1, "messages": 4})
        found = list(broker.look_at_workers())
        assert levels(found) == [Level.OK] * 2 + [Level.WARNING] * 3
        assert found[1].detail == "messages: served, 4 at once."
        assert found[2].detail == "imports: no worker serves it."
        assert found[4].detail == "4 processes send, and MESSAGE_SENDER_PROCESSES is 2."
        monkeypatch.setattr(queues, "served", lambda: {"imports": 1})
        assert levels(broker.look_at_workers()) == [
            *(Level.ERROR, Level.ERROR, Level.OK, Level.WARNING)
        ]
        monkeypatch.setattr(queues, "served", dict)
        assert say(broker.look_at_workers()) == (Level.ERROR, "No worker answers.")


class TestSender:
    @pytest.fixture
    def secure(self, tmp_path: Path, settings: Settings) -> Iterator[RunningSandbox]:
        certificate = make_certificate(tmp_path)
        with running_sandbox(tmp_path, *certificate.options) as sandbox:
            settings.MESSAGE_SENDER_URL = sandbox.api_url
            settings.MESSAGE_SENDER_CA_FILE = str(certificate.certfile)
            yield sandbox

    def test_verifies_the_certificate_and_says_when_it_expires(
        self, secure: RunningSandbox, settings: Settings
    ) -> None:
        reached, expiring = sender.look()
        assert reached.level == Level.OK
        assert expiring.level == Level.WARNING
        assert "certificate expires in 4" in expiring.detail  # 47 hours
        settings.MESSAGE_SENDER_CA_FILE = ""
        level, detail = say(sender.look())
        assert level == Level.ERROR
        assert "not trusted" in detail
        assert secure.get("/stats")["accepted"] == 0

    def test_says_that_nobody_is_there(self, settings: Settings) -> None:
        settings.MESSAGE_SENDER_URL = "http://127.0.0.1:1/v1"
        settings.MESSAGE_SENDER_TOKEN = "token"
        level, detail = say(sender.look())
        assert level == Level.ERROR
        assert detail.startswith("127.0.0.1:1 cannot be reached: ")

    def test_only_warns_of_it_where_no_token_is_set(self, settings: Settings) -> None:
        settings.MESSAGE_SENDER_URL = "http://127.0.0.1:1/v1"
        level, _ = say(sender.look())
        assert level == Level.WARNING

    def test_does_not_try_a_proxy(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
        settings.MESSAGE_SENDER_URL = "https://sender.example/v1"
        level, detail = say(sender.look())
        assert level == Level.OK
        assert "through a proxy, proxy.example" in detail

    @pytest.mark.django_db
    def test_says_of_the_token_what_is_known_without_a_message(self, now: datetime) -> None:
        assert say(sender.look_at_token()) == (
            Level.OK,
            "Whether the sender takes it cannot be told without a message.",
        )
        minute = now.replace(second=0, microsecond=0)
        MinuteTotal.objects.create(
            mailing_id=ALL_MAILINGS, began_at=minute, state="success", error_code="", number=7
        )
        assert "accepted 7 messages" in say(sender.look_at_token())[1]
        SendingControl.objects.update(
            opened_at=now, reason="HTTP 401: no Check MESSAGE_SENDER_TOKEN."
        )
        assert say(sender.look_at_token())[0] == Level.ERROR

    @pytest.mark.django_db
    @pytest.mark.parametrize(
        ("left", "level"),
        [(-DAY, Level.ERROR), (3 * DAY, Level.WARNING), (60 * DAY, Level.OK)],
    )
    def test_reads_until_when_a_jwt_is_good(
        self, left: timedelta, level: Level, settings: Settings
    ) -> None:
        claims = json.dumps({"exp": (timezone.now() + left).timestamp()}).encode()
        settings.MESSAGE_SENDER_TOKEN = f"e30.{urlsafe_b64encode(claims).decode().rstrip('=')}.x"
        assert levels(sender.look_at_token())[0] == level


class TestMachine:
    def test_tells_the_room_on_the_disk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert levels(machine.look_at_disk()) == [Level.OK]
        monkeypatch.setattr(machine, "LITTLE", float("inf"))
        assert say(machine.look_at_disk())[0] == Level.WARNING
        monkeypatch.setattr(machine, "HARDLY_ANY", float("inf"))
        assert say(machine.look_at_disk())[0] == Level.ERROR

    def test_tells_what_the_spool_has_left_over(self, settings: Settings) -> None:
        assert levels(machine.look_at_spool()) == [Level.OK]
        settings.SPOOL_DIR.mkdir()
        fresh, old = settings.SPOOL_DIR / "1.spool", settings.SPOOL_DIR / "2.spool"
        fresh.touch()
        assert levels(machine.look_at_spool()) == [Level.OK]
        old.touch()
        os.utime(old, (0, 0))
        (settings.SPOOL_DIR / "3.unsettled").touch()
        aside, overdue = machine.look_at_spool()
        assert "1 files in" in aside.detail
        assert "such as 3.unsettled" in aside.detail
        assert overdue.detail.startswith("1 files in")
        assert levels([aside, overdue]) == [Level.WARNING, Level.WARNING]

    def test_says_that_the_spool_cannot_be_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.access", lambda path, mode: False)
        assert say(machine.look_at_spool())[0] == Level.ERROR

    @pytest.mark.parametrize(("backend", "level"), [("Whole", Level.OK), ("Torn", Level.ERROR)])
    def test_writes_reads_and_deletes_a_file(
        self, backend: str, level: Level, tmp_path: Path, settings: Settings
    ) -> None:
        storage = {"BACKEND": f"{__name__}.{backend}", "OPTIONS": {"location": tmp_path}}
        settings.STORAGES = {**settings.STORAGES, "default": storage}
        assert say(machine.look_at_storage())[0] == level
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


class Whole(FileSystemStorage):
    """Keeps files as they are."""


class Torn(FileSystemStorage):
    """Keeps nothing of a file but its name."""

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        return super().save(name, ContentFile(b""), max_length)


@pytest.mark.django_db
class TestWork:
    def test_tells_who_was_not_seen(self, now: datetime) -> None:
        Heartbeat.objects.create(name="beat", at=now)
        Heartbeat.objects.create(name="send_message", at=now - 10 * MINUTE)
        found = list(work.look_at_heartbeats())
        assert levels(found) == [Level.OK, Level.WARNING, Level.ERROR]
        assert "Sending has had no heartbeat for 10 min" in found[2].detail

    def test_tells_what_holds_sending_back(self, now: datetime) -> None:
        assert levels(work.look_at_holds()) == [Level.OK]
        SendingControl.objects.update(
            is_paused=True, pause_reason="The text", opened_at=now, reason="HTTP 503", probe_at=now
        )
        stopped, broken = work.look_at_holds()
        assert stopped.detail == "Sending is stopped: The text."
        assert "HTTP 503" in broken.detail
        assert levels([stopped, broken]) == [Level.WARNING, Level.ERROR]

    def test_tells_what_the_checks_find(self, monkeypatch: pytest.MonkeyPatch) -> None:
        issues = [
            checks.Warning("Odd.", hint="Mend it.", id="x.W1"),
            checks.Error("No.", id="x.E1"),
        ]
        monkeypatch.setattr(checks, "run_checks", lambda: issues)
        assert list(work.look_at_settings()) == [
            warning("Odd. (x.W1)", "Mend it."),
            error("No. (x.E1)", "See the documentation of Django."),
        ]
        issues.clear()
        assert levels(work.look_at_settings()) == [Level.OK]


class TestExamining:
    @pytest.fixture
    def use(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        def set_checks(of_database: Check, *others: Check, after: tuple[Check, ...] = ()) -> None:
            monkeypatch.setattr(examining, "DATABASE", of_database)
            monkeypatch.setattr(examining, "CHECKS", others)
            monkeypatch.setattr(examining, "CHECKS_OF_THE_DATABASE", after)

        return set_checks

    def test_what_hangs_is_given_up_and_what_fails_is_told(self, use: Callable[..., None]) -> None:
        never = threading.Event()
        use(
            Check("database", lambda: [fine("well")], "…"),
            Check("broker", lambda: [fine("x")] if never.wait() else [], "Start it.", seconds=0.1),
            Check("disk", _raise(OSError("no such disk")), "Buy one."),
            after=(Check("clock", lambda: [warning("late", "Wait.")], "…"),),
        )
        assert examine() == [
            fine("well")._replace(check="database"),
            warning("late", "Wait.")._replace(check="clock"),
            error("No answer in 0.1 seconds.", "Start it.")._replace(check="broker"),
            error("OSError: no such disk", "Buy one.")._replace(check="disk"),
        ]
        never.set()

    def test_without_a_database_nothing_asks_it(self, use: Callable[..., None]) -> None:
        use(
            Check("database", _raise(OSError("refused")), "Start it."),
            after=(Check("clock", lambda: [fine("asked all the same")], "…"),),
        )
        assert [each.check for each in examine()] == ["database"]

    def test_every_check_says_what_to_do_and_has_a_name_of_its_own(self) -> None:
        every = (examining.DATABASE, *examining.CHECKS, *examining.CHECKS_OF_THE_DATABASE)
        assert all(check.hint for check in every)
        assert len({check.name for check in every}) == len(every)


class TestCommand:
    @pytest.mark.parametrize(
        ("found", "code"),
        [
            ([fine("well")], 0),
            ([fine("well"), warning("odd", "Mend it.")], 1),
            ([warning("odd", "Mend it."), error("dead", "Start it.")], 2),
        ],
    )
    def test_the_exit_code_is_the_worst_finding(
        self, found: list[Finding], code: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        named = [each._replace(check="disk") for each in found]
        monkeypatch.setattr(
            "mailing_manager_project.management.commands.doctor.examine", lambda: named
        )
        assert run()[0] == code
        exit_code, text = run("--json")
        assert exit_code == code
        told = json.loads(text)
        assert told["level"] == max(named, key=lambda each: list(Level).index(each.level)).level
        assert told["checks"] == [each._asdict() for each in named]
        lines = run()[1].splitlines()
        assert all(each.detail in line for each, line in zip(named, lines[1:], strict=True))


def run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=out, no_color=True)
    except CommandError as failure:
        return failure.returncode, out.getvalue()
    return 0, out.getvalue()


def _raise(failure: Exception) -> Any:
    def raise_it(*args: object) -> None:
        raise failure

    return raise_it
