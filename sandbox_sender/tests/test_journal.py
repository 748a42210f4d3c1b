"""The sandbox's journal knows every accepted message, whatever is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests

from sandbox_sender.contract import Message
from sandbox_sender.journal import Journal, JournalError, read_journal
from sandbox_sender.launch import PROJECT, RunningSandbox, run_sandbox
from sandbox_sender.write_batch import WriteBatch

BEARER = {"Authorization": "Bearer sandbox"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.tsv"


def send(sandbox: RunningSandbox, message_id: int) -> requests.Response:
    body = {"id": message_id, "phone": 79991234567, "text": "Hello"}
    url = f"{sandbox.url}/send/{message_id}"
    return requests.post(url, json=body, headers=BEARER, timeout=5)


def count_events(path: Path) -> tuple[dict[int, int], dict[int, int]]:
    record = read_journal(path)
    return dict(record.accepted), dict(record.repeated)


@pytest.mark.parametrize("flags", [[], ["--fsync"]])
def test_an_id_is_in_the_journal_before_it_is_answered(path: Path, flags: list[str]) -> None:
    with run_sandbox("--journal", str(path), *flags) as sandbox:
        for message_id in range(1, 6):
            assert send(sandbox, message_id).status_code == 200
            assert message_id in read_journal(path).accepted


def test_a_line_has_the_kind_the_id_the_phone_and_the_time(path: Path) -> None:
    with run_sandbox("--journal", str(path)) as sandbox:
        send(sandbox, 5)
        send(sandbox, 5)
        stats = sandbox.get("/stats")
    first, second = (line.split("\t") for line in path.read_text().splitlines())
    assert first[:3] == ["accepted", "5", "79991234567"]
    assert second[:3] == ["repeated", "5", "79991234567"]
    assert float(first[3]) == pytest.approx(stats["first_accepted_at"], abs=1e-5)


def test_what_is_not_accepted_is_not_in_the_journal(path: Path) -> None:
    faults = '{"server_error": 0.5, "unavailable": 0.5}'
    with run_sandbox("--journal", str(path), "--faults", faults) as sandbox:
        for message_id in range(20):
            send(sandbox, message_id)
    assert count_events(path) == ({}, {})


def test_what_is_accepted_without_an_answer_is_in_the_journal(path: Path) -> None:
    with run_sandbox("--journal", str(path), "--faults", '{"reset_after": 1}') as sandbox:
        with pytest.raises(requests.ConnectionError):
            send(sandbox, 5)
        assert count_events(path) == ({5: 1}, {})


def test_a_message_delivered_twice_is_accepted_twice_in_the_journal(path: Path) -> None:
    with run_sandbox("--journal", str(path), "--no-deduplicate") as sandbox:
        for message_id in (1, 2, 2):
            send(sandbox, message_id)
    assert count_events(path) == ({1: 1, 2: 2}, {})


def test_a_restarted_sandbox_knows_the_ids_and_counts_on(path: Path) -> None:
    with run_sandbox("--journal", str(path)) as sandbox:
        for message_id in (1, 2, 2):
            send(sandbox, message_id)
        before = sandbox.get("/stats")
    with run_sandbox("--journal", str(path)) as sandbox:
        stats = sandbox.get("/stats")
        names = ("accepted", "unique", "repeated")
        assert [stats[name] for name in names] == [before[name] for name in names] == [2, 2, 1]
        assert stats["first_accepted_at"] == pytest.approx(before["first_accepted_at"], abs=1e-5)
        for message_id in (2, 3):
            send(sandbox, message_id)
    assert count_events(path) == ({1: 1, 2: 1, 3: 1}, {2: 2})


def test_every_answered_id_survives_kill_9(path: Path) -> None:
    sandbox = RunningSandbox("--journal", str(path))
    answered: list[int] = []
    threads = [
        threading.Thread(target=send_until_it_dies, args=(sandbox, number * 10**6, answered))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    while len(answered) < 200 and any(thread.is_alive() for thread in threads):
        threads[0].join(0.002)
    sandbox.kill()
    for thread in threads:
        thread.join()
    assert len(answered) >= 200
    accepted, _ = count_events(path)
    assert set(answered) <= accepted.keys()
    # A request that each thread had on the way may have been accepted, too.
    assert len(accepted) <= len(answered) + 4


def send_until_it_dies(sandbox: RunningSandbox, first_id: int, answered: list[int]) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for message_id in range(first_id, first_id + 10**6):
            body = {"id": message_id, "phone": 79991234567, "text": "Hello"}
            try:
                url = f"{sandbox.url}/send/{message_id}"
                answer = session.post(url, json=body, headers=BEARER, timeout=5)
            except requests.ConnectionError:
                return
            assert answer.status_code == 200
            answered.append(message_id)


@pytest.mark.parametrize("torn", ["a", "accepted\t3", "repeated\t3\t79991234567\t17954"])
def test_a_torn_last_line_is_left_out_and_cut_on_restart(path: Path, torn: str) -> None:
    whole = "accepted\t1\t79991234567\t1795489136.589928\n"
    path.write_text(whole + torn)
    assert count_events(path) == ({1: 1}, {})
    with run_sandbox("--journal", str(path)) as sandbox:
        send(sandbox, 2)
    assert count_events(path) == ({1: 1, 2: 1}, {})
    assert path.read_text().startswith(whole + "accepted\t2\t")


@pytest.mark.parametrize(
    "content",
    ["diary\n", "accepted\tfive\t7\t1.0\n", "accepted\t5\t1.0\n", "rejected\t5\t7\t1.0\n"],
)
def test_a_line_of_something_else_is_an_error_with_its_number(path: Path, content: str) -> None:
    path.write_text("accepted\t1\t79991234567\t1795489136.589928\n" + content)
    with pytest.raises(JournalError, match="line 2 is not a journal line"):
        read_journal(path)


@pytest.mark.parametrize("content", [b"Dear diary,\n", b"no newline at all", b"\x00\xff" * 5000])
def test_a_file_that_is_no_journal_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(JournalError, match="not a journal line"):
        Journal(path)
    assert path.read_bytes() == content


def test_a_journal_that_can_not_be_opened_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "journal.tsv"
    command = [sys.executable, "-m", "sandbox_sender", "--port", "0", "--journal", str(path)]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=10)
    expected = f"Sandbox sender: The journal {path} cannot be used: No such file or directory.\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", expected)


@pytest.mark.skipif(sys.platform != "linux", reason="Limits of another process: Linux only.")
def test_a_full_disk_stops_the_sandbox_before_it_answers(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import resource

    sandbox = RunningSandbox("--journal", str(path))
    # So many that the limit leaves room for the complaint: it is also that of stderr, a file here.
    numbers = range(1, 11)
    for number in numbers:
        send(sandbox, number)
    size = path.stat().st_size
    resource.prlimit(sandbox.process.pid, resource.RLIMIT_FSIZE, (size + 5, size + 5))
    with pytest.raises(requests.ConnectionError):
        send(sandbox, 11)
    assert sandbox.wait() == 1
    complaint = "Sandbox sender: The journal cannot be written: [Errno 27] File too large.\n"
    assert capfd.readouterr().err == complaint
    assert count_events(path) == (dict.fromkeys(numbers, 1), {})


def test_with_fsync_the_disk_is_waited_for_before_anyone_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: events.append("fsync"))

    class Client:
        def write_answers(self) -> None:
            events.append("answer")

    async def accept_two() -> None:
        journal = Journal(path, is_synced=True)
        write_batch = WriteBatch(asyncio.get_running_loop(), journal, on_failure=print)
        for number in (1, 2):
            journal.add("accepted", Message(number, 79991234567, "Hello"), 1.0)
            write_batch.add(Client())
        assert events == []
        await asyncio.sleep(0)
        journal.close()

    asyncio.run(accept_two())
    assert events == ["fsync", "answer", "answer"]


def test_a_journal_that_is_closed_has_everything(path: Path) -> None:
    journal = Journal(path)
    journal.add("accepted", Message(5, 79991234567, "Hello"), 1.5)
    assert count_events(path) == ({}, {})
    journal.close()
    assert count_events(path) == ({5: 1}, {})


def test_sigterm_loses_nothing_that_was_accepted(path: Path) -> None:
    with run_sandbox("--journal", str(path)) as sandbox:
        for message_id in range(20):
            send(sandbox, message_id)
        sandbox.process.send_signal(signal.SIGTERM)
        assert sandbox.wait() == 0
    assert len(read_journal(path).accepted) == 20
