"""The stream that many processes share."""

import errno
import io
import json
import logging
import signal
import sys
from datetime import datetime

import pytest
from tqdm import tqdm

from mailing_manager_project.launcher.log_stream import LogStream


class Terminal(io.StringIO):
    """Standard output that is a terminal, or says so."""

    def isatty(self) -> bool:
        return True


def become_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Let standard output be a terminal that shows colours. (pytest would undo a fixture's.)"""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return terminal


def test_a_line_stands_after_the_name_of_its_program(capsys: pytest.CaptureFixture[str]) -> None:
    stream = LogStream(["web", "redis"])
    stream.show("web", "hello")
    stream.show("redis", "")
    stream.write("as it is")
    assert capsys.readouterr().out == "web   | hello\nas it is\n"


def test_our_own_log_goes_there_too(capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.LogRecord("it", logging.INFO, "", 0, "one\n%s", ("two",), None)
    LogStream([]).handle(record)
    assert capsys.readouterr().out == "main | one\nmain | two\n"


def test_in_json_each_line_is_an_event_of_its_program(capsys: pytest.CaptureFixture[str]) -> None:
    stream = LogStream(["web"], is_json=True)
    stream.show("web", '{"event": "Привет", "mailing": 5}')
    stream.show("web", "Segmentation fault")
    stream.show("web", "")
    stream.write("one\ntwo")
    known, *others = map(json.loads, capsys.readouterr().out.splitlines())
    assert known == {"program": "web", "event": "Привет", "mailing": 5}
    assert [(each["program"], each["event"]) for each in others] == [
        ("web", "Segmentation fault"),
        ("main", "one\ntwo"),
    ]
    assert all(datetime.fromisoformat(each["timestamp"]) for each in others)


def test_a_terminal_gets_a_colour_for_each_program(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = become_terminal(monkeypatch)
    stream = LogStream(["web", "beat"])
    stream.show("web", "hello")
    stream.show("beat", "hello")
    assert terminal.getvalue() == "\033[33mweb  | \033[0mhello\n\033[32mbeat | \033[0mhello\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_can_decline_colours(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = become_terminal(monkeypatch)
    monkeypatch.setenv(name, value)
    LogStream(["web"]).show("web", "hello")
    assert terminal.getvalue() == "web  | hello\n"


def test_a_progress_bar_stays_below_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = become_terminal(monkeypatch)
    stream = LogStream(["web"])
    with tqdm(total=10, file=terminal, leave=False) as bar:
        bar.update(5)
        stream.write("hello")
        before, after = terminal.getvalue().split("hello\n")
    # The bar is wiped, the line written, and the bar drawn again.
    assert before.endswith("\r")
    assert "| 5/10" in after


class FullDisk(io.StringIO):
    """Standard output that goes to a file for which there is no room any more."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_costs_lines_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    signals: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", signals.append)
    monkeypatch.setattr(sys, "stdout", FullDisk())
    LogStream(["web"]).show("web", "hello")
    assert signals == []
