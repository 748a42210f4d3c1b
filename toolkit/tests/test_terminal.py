"""Tables for people, JSON for programs, and an exit code for both."""

import io
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError
from django.db import OperationalError

from toolkit.history.actors import Actor, Door, current_actor
from toolkit.terminal import OperatorCommand, in_words

AT = datetime(2030, 1, 31, 6, 0, 5, tzinfo=UTC)


class Command(OperatorCommand):
    """Does what a test wants."""

    def __init__(self, do: Any) -> None:
        self.out = io.StringIO()
        super().__init__(stdout=self.out)
        self.do = do

    def handle(self, *args: Any, **options: Any) -> None:
        self.do(self)


def run(do: Any) -> str:
    command = Command(do)
    command.execute(no_color=True, force_color=False, skip_checks=True)
    return command.out.getvalue()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        ("", "–"),
        (True, "yes"),
        (0, "0"),
        (1234567, "1,234,567"),
        (0.0, "0.0"),
        (0.0123, "0.012"),
        (1234.56, "1,234.6"),
        (AT, "2030-01-31 06:00:05"),
        (timedelta(seconds=119), "119 s"),
        (timedelta(minutes=119), "119 min"),
        (timedelta(hours=47), "47 h"),
        (timedelta(days=3), "3 d"),
        ("two\nlines \x1b[31mred", "two lines  [31mred"),
        ("[red]no markup[/red]", "[red]no markup[/red]"),
    ],
)
def test_every_kind_of_cell_has_its_words(value: object, words: str) -> None:
    assert in_words(value) == words


def test_numbers_of_a_table_are_set_right_and_lines_are_whole() -> None:
    rows = [("vip", 1234, "[b]" + "x" * 200), ("new", None, "y")]
    assert run(lambda command: command.show_table(("Tag", "Clients", "Text"), rows)) == (
        f"Tag  Clients  Text\nvip    1,234  [b]{'x' * 200}\nnew        –  y\n"
    )


def test_json_is_as_rest_has_it() -> None:
    text = run(lambda command: command.show_json({"at": AT, "text": "Привет"}))
    assert json.loads(text) == {"at": "2030-01-31T06:00:05Z", "text": "Привет"}
    assert "Привет" in text


def test_what_is_done_is_done_by_the_systems_user(monkeypatch: pytest.MonkeyPatch) -> None:
    actors: list[Actor] = []
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("LOGNAME", "olga")
    run(lambda command: actors.append(current_actor()))
    monkeypatch.setenv("SUDO_USER", "igor")
    run(lambda command: actors.append(current_actor()))
    assert actors == [Actor(Door.COMMAND, username=name) for name in ("olga", "igor")]


def test_a_user_without_a_name_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    actors: list[Actor] = []
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr("getpass.getuser", _raise(KeyError(4711)))
    run(lambda command: actors.append(current_actor()))
    assert actors == [Actor(Door.COMMAND)]


@pytest.mark.parametrize(
    ("error", "sentence", "code"),
    [
        (ValidationError("It is over.", code="over"), "It is over.", 1),
        (
            OperationalError("connection refused\nIs the server running?"),
            "The database cannot be asked: connection refused",
            2,
        ),
    ],
)
def test_a_refusal_and_an_outage_have_exit_codes_of_their_own(
    error: Exception, sentence: str, code: int
) -> None:
    with pytest.raises(CommandError) as caught:
        run(_raise(error))
    assert (str(caught.value), caught.value.returncode) == (sentence, code)


def test_a_reader_who_has_enough_is_no_error() -> None:
    lines = (
        "import django; from django.conf import settings; settings.configure(); django.setup();"
        "from toolkit.terminal import OperatorCommand\n"
        "class Command(OperatorCommand):\n"
        "    def handle(self, **options):\n"
        "        for number in range(100_000): self.stdout.write(str(number))\n"
        "Command().execute(no_color=True, force_color=False, skip_checks=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", lines], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def _raise(error: Exception) -> Any:
    def raise_it(*args: object) -> None:
        raise error

    return raise_it
