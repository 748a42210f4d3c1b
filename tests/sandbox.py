"""The sandbox sender in a process of its own, with a journal, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from messages_app import sender as engine
from sandbox_sender.journal import JournalRecord, read_journal
from sandbox_sender.launch import RunningSandbox

TOKEN = "sandbox"


class Sandbox(RunningSandbox):
    """A sandbox on a free port that accounts for every send."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        """Start it; its journal is kept in `folder`."""
        self.journal_path = folder / "sandbox.journal"
        super().__init__("--token", TOKEN, "--journal", str(self.journal_path), *arguments)
        self.api_url = f"{self.url}/v1"

    def stats(self) -> dict[str, Any]:
        """Return the counts of GET /stats."""
        counts: dict[str, Any] = self.get("/stats")
        return counts

    def sends(self) -> int:
        """Return how many requests were answered or reset, whatever came of them."""
        counts = self.stats()
        total: int = counts["accepted"] + counts["repeated"] + counts["rejected"]
        return total

    def inbox(self) -> list[dict[str, Any]]:
        """Return the latest messages: id, phone and the beginning of the text."""
        messages: list[dict[str, Any]] = self.get("/inbox.json")["messages"]
        return messages

    def journal(self) -> JournalRecord:
        """Return what the journal says: how often each id was accepted, and dropped."""
        return read_journal(self.journal_path)


@contextmanager
def running_sandbox(folder: Path, *arguments: str) -> Iterator[Sandbox]:
    """Run a sandbox for the length of a with block."""
    sandbox = Sandbox(folder, *arguments)
    try:
        yield sandbox
    finally:
        sandbox.stop()


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """Run a sandbox of the test's own."""
    with running_sandbox(tmp_path) as sandbox:
        yield sandbox


@pytest.fixture
def sender(sandbox: Sandbox, settings: Settings) -> Iterator[Sandbox]:
    """Have the engine send to the test's own sandbox."""
    settings.MESSAGE_SENDER_URL = sandbox.api_url
    settings.MESSAGE_SENDER_TOKEN = TOKEN
    engine.transport.cache_clear()
    yield sandbox
    engine.transport.cache_clear()
