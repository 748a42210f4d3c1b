"""main.py with all its processes: start, refusal, faults, stop."""

import json
import os
import re
import socket
import sys
from argparse import Namespace
from http.cookiejar import CookieJar
from pathlib import Path
from time import monotonic
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

import pytest
from django.db import OperationalError
from pytest_django import Settings

from mailing_manager_project.launcher import command, installation, programs
from mailing_manager_project.launcher.broker import Broker
from mailing_manager_project.launcher.process import Program
from messages_app.sender.masking import mask
from tests.main_program import MainProgram, manage, refusal, running, wait_until
from tests.servers import free_port

READY = "Ctrl-C stops everything."


def can_log_in(program: MainProgram, password: str) -> bool:
    """Tell whether the login page of the admin takes this password of admin's."""
    jar = CookieJar()
    browser = build_opener(HTTPCookieProcessor(jar), ProxyHandler({}))
    address = f"http://127.0.0.1:{program.port}/admin/login/"
    page = browser.open(address).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    form = {"username": "admin", "password": password, "csrfmiddlewaretoken": token[1]}
    browser.open(address, urlencode({**form, "next": "/health/"}).encode()).close()
    return any(cookie.name == "sessionid" for cookie in jar)


@pytest.mark.flow
def test_the_first_start_prints_a_password_once_and_everything_stops_within_ten_seconds(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as program:
        program.wait_for(READY)
        line = program.wait_for("with the password")
        password = line.split()[-1]
        assert program.output.count(password) == 1
        assert can_log_in(program, password)
        assert not can_log_in(program, "another password")
        made = list(tmp_path.rglob("*"))
        assert {"secret_key", "db.sqlite3", "sandbox_journal"} < {path.name for path in made}
        assert [path for path in made if path.stat().st_mode & 0o077] == []
        # Everybody on the folder means the same broker, and only one may run.
        look = "from django.conf import settings; print(settings.CELERY_BROKER_URL)"
        broker = manage(tmp_path, "shell", "-v0", "-c", look)
        assert broker.strip() == f"redis+socket://{tmp_path}/redis.sock"
        assert f"already on {tmp_path} (process {program.process.pid})" in refusal(tmp_path)

        began_at = monotonic()
        assert program.stop() == 0
        assert monotonic() - began_at < 10
        assert program.processes() == []
        assert "Traceback" not in program.output


@pytest.mark.flow
def test_nobody_stays_when_it_is_killed(tmp_path: Path) -> None:
    with running(tmp_path, LOG_FORMAT="") as program:
        program.wait_for(READY)
        # The workers say nothing when their pools are complete.
        wait_until(lambda: len(program.processes()) >= 10, program)
        program.process.kill()
        wait_until(lambda: not program.processes(), program)
        # It wrote to no terminal.
        assert "main" in {json.loads(line)["program"] for line in program.lines}


@pytest.mark.flow
def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refusal(tmp_path, f"--port={port}")
    assert f"Port {port} on 127.0.0.1 cannot be had: another program uses it." in line
    assert f"--port {port + 1}" in line


@pytest.mark.flow
def test_a_broker_that_does_not_answer_is_one_clear_line(tmp_path: Path) -> None:
    line = refusal(tmp_path, CELERY_BROKER_URL="redis://:secret@127.0.0.1:1/0")
    assert "The broker at redis://127.0.0.1:1/0 does not answer" in line
    assert "CELERY_BROKER_URL" in line


@pytest.mark.flow
@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("postgres://me:secret@127.0.0.1:1/mailings", "mailings at 127.0.0.1:1 cannot be used"),
        ("sqlite:////no/such/folder/db.sqlite3", "/no/such/folder/db.sqlite3 cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_clear_line(
    url: str, complaint: str, tmp_path: Path
) -> None:
    line = refusal(tmp_path, DATABASE_URL=url)
    assert complaint in line
    assert "correct DATABASE_URL" in line
    assert "secret" not in line


@pytest.mark.flow
@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("MESSAGE_SENDER_CONCURRENCY", "many", "MESSAGE_SENDER_CONCURRENCY is 'many'."),
        ("MESSAGE_SENDER_MAX_CONCURRENCY", "auto", "MESSAGE_SENDER_MAX_CONCURRENCY is 'auto'."),
        ("MESSAGE_SENDER_PROCESSES", "0", "MESSAGE_SENDER_PROCESSES is '0'."),
        ("MAILING_REPEAT_TIMEOUT", "-1", "MAILING_REPEAT_TIMEOUT is '-1'."),
        ("MESSAGE_SENDER_TIMEOUT", "0", "MESSAGE_SENDER_TIMEOUT is '0'."),
        ("MESSAGE_SENDER_RATE", "fast", "MESSAGE_SENDER_RATE is 'fast'."),
        ("MESSAGE_SENDER_IDEMPOTENT", "flase", "MESSAGE_SENDER_IDEMPOTENT is 'flase'."),
        ("DATABASE_URL", "oracle://me:secret@127.0.0.1/x", "must begin with sqlite:///"),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_clear_line(
    name: str, value: str, complaint: str, tmp_path: Path
) -> None:
    line = refusal(tmp_path, **{name: value})
    assert "A setting is wrong." in line
    assert complaint in line
    assert "secret" not in line


@pytest.mark.flow
def test_what_cannot_work_here_is_one_clear_line(tmp_path: Path) -> None:
    line = refusal(tmp_path, MESSAGE_SENDER_CONCURRENCY="100000", ALLOWED_HOSTS="*")
    assert "cannot start. MESSAGE_SENDER_CONCURRENCY is 100000, and one process can" in line
    assert "Set it to 1000 or less" in line
    assert not (tmp_path / "db.sqlite3").exists()


@pytest.mark.flow
def test_what_is_only_doubtful_is_a_line_in_the_log_and_the_sandbox_is_not(tmp_path: Path) -> None:
    with running(tmp_path, ALLOWED_HOSTS="*") as program:
        program.wait_for("Starting ")
        warnings = re.findall(r"\(mailing_manager\.(W\d+)\)", program.output)
        assert warnings == ["W002", "W004", "W007"]


@pytest.mark.flow
def test_an_address_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    line = refusal(tmp_path, MESSAGE_SENDER_TOKEN="real", MESSAGE_SENDER_URL="probe.fbrq.cloud")
    assert "MESSAGE_SENDER_URL is 'probe.fbrq.cloud'. Begin it with https://" in line


@pytest.mark.flow
def test_a_folder_that_cannot_be_written_is_one_clear_line() -> None:
    # Not even root may.
    line = refusal(Path("/sys/mailing-manager"))
    assert "/sys/mailing-manager cannot be written" in line
    assert "VAR_DIR" in line


@pytest.mark.flow
@pytest.mark.parametrize("mode", [0o755, 0o701, 0o770])
def test_a_folder_that_others_can_look_into_is_one_clear_line(mode: int, tmp_path: Path) -> None:
    folder = tmp_path / "var"
    folder.mkdir()
    folder.chmod(mode)
    line = refusal(folder)
    assert f"Other users can look into {folder}" in line
    assert f"chmod 700 {folder}" in line
    assert os.listdir(folder) == []


@pytest.mark.flow
def test_the_demo_refuses_to_send_to_real_people(tmp_path: Path) -> None:
    line = refusal(tmp_path, "--demo", MESSAGE_SENDER_TOKEN="real")
    assert "the demo must not send its sample to real people" in line


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Namespace:
    """Return a command line for a preparation that makes nothing."""
    for name in ("make_secret_key", "load_settings", "prepare_database"):
        monkeypatch.setattr(installation, name, lambda: None)
    for name in ("CELERY_BROKER_URL", "LOG_FORMAT", "MESSAGE_SENDER_TOKEN", "MESSAGE_SENDER_URL"):
        monkeypatch.setenv(name, "")  # They are set for good otherwise.
    return Namespace(host="127.0.0.1", port=free_port(), sandbox_port=free_port(), demo=False)


def test_with_a_token_there_is_no_sandbox(
    options: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESSAGE_SENDER_TOKEN", "real")
    monkeypatch.setenv("MESSAGE_SENDER_URL", "https://sender.example/v1")
    port = command.prepare(options, Broker("redis://there"))
    assert os.environ["MESSAGE_SENDER_TOKEN"] == "real"
    assert os.environ["MESSAGE_SENDER_URL"] == "https://sender.example/v1"
    assert "sandbox" not in names(command.list_programs(options, Broker("redis://there"), port))


def test_secrets_are_known_to_who_needs_them_only(options: Namespace) -> None:
    broker = Broker("redis://there", command=("redis-server",))
    listed = command.list_programs(options, broker, options.sandbox_port)
    for name, expected in {
        "MESSAGE_SENDER_TOKEN": {"sandbox", "web", "messages"},
        "OIDC_CLIENT_SECRET": {"sandbox", "web"},
    }.items():
        for each in (name, f"{name}_FILE"):
            programs = (program for stage in listed for program in stage)
            knowing = {program.name for program in programs if each not in program.environment}
            assert knowing == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only=web", "--demo"], "--demo needs all programs; leave out --only."),
        (["--only=web", "--processes=2"], "--processes is for --only=messages."),
        (["--only=messages", "--processes=0"], "is no number of processes: write 1 or more."),
        (["--only=redis"], "invalid choice: 'redis'"),
    ],
)
def test_words_that_make_no_sense_together_are_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.parse_arguments(words)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("blank", ["", " "])
def test_without_a_token_there_is_only_the_sandbox(
    options: Namespace, monkeypatch: pytest.MonkeyPatch, blank: str
) -> None:
    monkeypatch.setenv("MESSAGE_SENDER_TOKEN", blank)
    monkeypatch.setenv("MESSAGE_SENDER_URL", "https://sender.example/v1")
    port = command.prepare(options, Broker("redis://there"))
    assert port == options.sandbox_port
    token = os.environ["MESSAGE_SENDER_TOKEN"]
    assert os.environ["MESSAGE_SENDER_URL"] == f"http://127.0.0.1:{port}/v1"
    listed = command.list_programs(options, Broker("redis://there"), port)
    (sandbox,) = (each for stage in listed for each in stage if each.name == "sandbox")
    assert f"--token={token}" in sandbox.command


def test_what_the_sandbox_says_of_itself_is_not_masked_as_its_token(settings: Settings) -> None:
    settings.MESSAGE_SENDER_TOKEN = programs.SANDBOX_TOKEN
    said = "A fault of the sandbox: server_error. The token is missing or wrong."
    assert mask(said) == said


def test_a_database_that_goes_away_at_the_last_moment_stops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> str:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(installation, "make_first_account", fail)
    (line,) = command.how_to_log_in()
    assert line.startswith("The database has just gone away.")


def names(stages: list[list[Program]]) -> list[str]:
    return [program.name for stage in stages for program in stage]


@pytest.mark.parametrize("port", ["0", "65536", "-1", "web"])
def test_a_port_that_is_none_is_refused(
    port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["main.py", f"--port={port}"])
    with pytest.raises(SystemExit, match="2"):
        command.parse_arguments()
    assert "is not a port: choose one from 1 to 65535." in capsys.readouterr().err
