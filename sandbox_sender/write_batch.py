"""Batches writes: the journal is flushed once for all answers, which are written after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from sandbox_sender.journal import Journal


class Writer(Protocol):
    """A connection with answers to write."""

    def write_answers(self) -> None:
        """Write the answers that are ready."""


class WriteBatch:
    """Writes all answers of one turn of the event loop, after the journal has their messages.

    There is one write (and one fsync) of the journal for all connections of a turn, not one each.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        journal: Journal | None,
        on_failure: Callable[[OSError], None],
    ) -> None:
        """Call `on_failure` when the journal cannot be written; no answer is written then."""
        self.loop = loop
        self.journal = journal
        self.on_failure = on_failure
        self.waiting: list[Writer] = []

    def add(self, writer: Writer) -> None:
        """Have a writer write its answers at the end of this turn."""
        if not self.waiting:
            self.loop.call_soon(self.flush)
        self.waiting.append(writer)

    def flush(self) -> None:
        """Flush the journal, then have all added writers write their answers."""
        if self.journal is not None:
            try:
                self.journal.flush()
            except OSError as error:
                self.on_failure(error)
                return
        waiting, self.waiting = self.waiting, []
        for writer in waiting:
            writer.write_answers()
