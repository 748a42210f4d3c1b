"""The write_batch of the sandbox: answers leave together, and after the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from sandbox_sender.journal import Journal


class Writer(Protocol):
    """Has answers to write."""

    def write_answers(self) -> None:
        """Write those whose time has come."""


class WriteBatch:
    """Lets the answers of one turn of the event loop go, once the journal has their messages.

    One write (and one fsync) for all connections of a turn: it is what makes a journal cheap.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        journal: Journal | None,
        on_failure: Callable[[OSError], None],
    ) -> None:
        """Call on_failure when the journal cannot be written; no answer goes out then."""
        self.loop = loop
        self.journal = journal
        self.on_failure = on_failure
        self.waiting: list[Writer] = []

    def add(self, writer: Writer) -> None:
        """Let it write when this turn is over."""
        if not self.waiting:
            self.loop.call_soon(self.flush)
        self.waiting.append(writer)

    def flush(self) -> None:
        """Put the journal on disk, then let everyone write who waits for it."""
        if self.journal is not None:
            try:
                self.journal.flush()
            except OSError as error:
                self.on_failure(error)
                return
        waiting, self.waiting = self.waiting, []
        for writer in waiting:
            writer.write_answers()
