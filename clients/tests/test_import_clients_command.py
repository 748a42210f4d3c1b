"""`import_clients` reports every bad row, counts, and tells by its exit code how it went."""

import io
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from clients.management.commands import import_clients as command
from clients.models import Client

pytestmark = pytest.mark.django_db


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "clients.csv"


def run(file: object, stderr: io.StringIO | None = None) -> tuple[int, str, str]:
    """Run the command; return its exit code, standard output and standard error."""
    stdout, stderr = io.StringIO(), stderr or io.StringIO()
    code = 0
    try:
        call_command("import_clients", str(file), stdout=stdout, stderr=stderr)
    except CommandError as error:
        code = error.returncode
        stderr.write(f"{error}\n")
    return code, stdout.getvalue(), stderr.getvalue()


def test_a_good_file_ends_with_a_summary_and_exit_code_0(file: Path) -> None:
    file.write_text("phone_number,tag\n79991234567,vip\n79991234568,\n")
    assert run(file) == (0, "2 created, 0 updated, 0 unchanged, 0 bad\n", "")
    file.write_text("phone_number,tag\n79991234567,new\n79991234568,\n")
    assert run(file) == (0, "0 created, 1 updated, 1 unchanged, 0 bad\n", "")


def test_bad_rows_are_told_on_standard_error_and_the_exit_code_is_1(file: Path) -> None:
    file.write_text("phone_number\n12\n79991234567\n\nhello\n")
    code, stdout, stderr = run(file)
    assert code == 1
    assert stdout == "1 created, 0 updated, 0 unchanged, 2 bad\n"
    first, second, last = stderr.splitlines()
    assert first.startswith("line 2: phone_number '12': '12' is not an international phone number.")
    assert second.startswith("line 5: phone_number 'hello': ")
    assert last == "Some rows were not imported; the lines above say why."


def test_all_of_many_bad_rows_are_told(file: Path) -> None:
    file.write_text("phone_number\n" + "12\n" * 5_000)
    code, stdout, stderr = run(file)
    assert (code, stdout) == (1, "0 created, 0 updated, 0 unchanged, 5000 bad\n")
    numbers = [line.split(":")[0] for line in stderr.splitlines()[:-1]]
    assert numbers == [f"line {number}" for number in range(2, 5_002)]


def test_a_dash_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    source = io.TextIOWrapper(io.BytesIO(b"phone_number\n79991234567\n"))
    monkeypatch.setattr(sys, "stdin", source)
    assert run("-") == (0, "1 created, 0 updated, 0 unchanged, 0 bad\n", "")


def test_a_file_of_something_else_is_one_line_and_exit_code_2(file: Path) -> None:
    file.write_text("name,phone\nJoe,79991234567\n")
    code, stdout, stderr = run(file)
    assert (code, stdout) == (2, "")
    assert stderr.count("\n") == 1
    assert stderr.startswith(f"{file}: There are unknown columns: 'name', 'phone'.")


def test_a_missing_file_and_a_folder_are_one_line_and_exit_code_2(tmp_path: Path) -> None:
    missing = tmp_path / "missing.csv"
    assert run(missing) == (2, "", f"{missing}: No such file or directory\n")
    assert run(tmp_path) == (2, "", f"{tmp_path}: Is a directory\n")


def test_a_database_that_fails_is_one_line_that_says_what_to_do(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OperationalError("connection refused")

    file.write_text("phone_number\n79991234567\n")
    monkeypatch.setattr(command, "import_clients", fail)
    code, _, stderr = run(file)
    assert code == 1
    assert stderr.startswith("The database failed: connection refused. Whole batches are saved;")
    assert "run the import again" in stderr


def test_stopping_it_by_hand_says_that_it_can_be_repeated(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    file.write_text("phone_number\n79991234567\n")
    monkeypatch.setattr(command, "import_clients", stop)
    code, _, stderr = run(file)
    assert code == 130
    assert "run the import again" in stderr


def test_a_progress_bar_is_drawn_on_a_terminal_only(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("phone_number\n79991234567\n")
    run(file)
    assert "%" not in capsys.readouterr().err
    run(file, stderr=Terminal())
    assert "100%" in capsys.readouterr().err
    assert Client.objects.count() == 1
