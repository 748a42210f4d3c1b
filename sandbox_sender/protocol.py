"""HTTP/1.1 connections of the sandbox: bytes to requests, and answers back in order.

A request takes no task and no timer of its own: httptools parses it, the answer is ready when
the parser returns, and goes out at the end of the event loop's turn (see WriteBatch). Only an
answer that has to wait takes a place in a queue and a timer.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import cast

import httptools

from sandbox_sender.accounts import Accounts
from sandbox_sender.answers import (
    CONTINUE,
    DRAIN_SECONDS,
    HANG,
    KEEP_OPEN,
    NOT_HTTP,
    RESET,
    Answer,
    build_error,
)
from sandbox_sender.routes import Routes
from sandbox_sender.write_batch import WriteBatch

# Bytes that may arrive before a request is complete; with more it is refused.
LARGEST_REQUEST = 1024 * 1024
TOO_LARGE = build_error(413, f"A request may have {LARGEST_REQUEST} bytes.").closing(DRAIN_SECONDS)
# SO_LINGER, on and zero seconds: closing resets the connection.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ReplySlot:
    """An answer's place in the queue of a connection; empty until its delay is over."""

    __slots__ = ("answer",)

    def __init__(self) -> None:
        self.answer: Answer | None = None


class Connection(asyncio.Protocol):
    """One connection of a client, with all its requests."""

    def __init__(
        self, routes: Routes, write_batch: WriteBatch, accounts: Accounts, peers: set[Connection]
    ) -> None:
        self.routes = routes
        self.write_batch = write_batch
        self.accounts = accounts
        self.peers = peers
        self.parser = httptools.HttpRequestParser(self)
        self.transport: asyncio.Transport | None = None
        self.answers: list[Answer] = []
        self.queue: deque[ReplySlot] = deque()
        self.is_closing = False
        self.unfinished_bytes = 0
        self.url = b""
        self.authorization = b""
        self.host = b""
        self.body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport of the new connection."""
        self.transport = cast(asyncio.Transport, transport)
        self.peers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the connection and its unanswered requests."""
        self.peers.discard(self)
        self.transport = None
        self.is_closing = True
        self.accounts.in_flight -= len(self.queue)
        self.queue.clear()

    def data_received(self, data: bytes) -> None:
        """Parse bytes; the parser calls on_message_complete for each complete request."""
        if self.is_closing:
            return
        self.unfinished_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            # A defect of this program, not of the client's.
            raise
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.place(NOT_HTTP)
        else:
            if self.unfinished_bytes > LARGEST_REQUEST:
                self.place(TOO_LARGE)
        self.write_batch.add(self)

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read its answers."""
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Start reading again."""
        if self.transport is not None:
            self.transport.resume_reading()

    def on_message_begin(self) -> None:
        """Clear the data of the request before."""
        self.url = b""
        self.authorization = b""
        self.host = b""
        self.body.clear()

    def on_url(self, url: bytes) -> None:
        """Add a piece of the URL."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the headers Authorization and Host, and answer an Expect header."""
        # Lengths are compared first, because lower() takes longer and most headers are others.
        if len(name) == 13 and name.lower() == b"authorization":
            self.authorization = value
        elif len(name) == 4 and name.lower() == b"host":
            self.host = value
        elif len(name) == 6 and name.lower() == b"expect":
            self.invite_body()

    def on_body(self, body: bytes) -> None:
        """Add a piece of the body."""
        self.body.append(body)

    def on_message_complete(self) -> None:
        """Answer the request."""
        if self.is_closing:
            return
        self.unfinished_bytes = 0
        answer, delay = self.routes.answer(
            self.parser.get_method(),
            self.url,
            self.authorization,
            b"".join(self.body),
            self.host,
        )
        if answer.close_after == KEEP_OPEN and not self.parser.should_keep_alive():
            answer = answer.closing()
        self.place(answer, delay)

    def invite_body(self) -> None:
        """Answer 100 Continue to a client that waits for it, as curl does with large bodies."""
        if self.transport is not None and not self.answers and not self.queue:
            self.transport.write(CONTINUE)

    def place(self, answer: Answer, delay: float = 0.0) -> None:
        """Write an answer after `delay` seconds, and not before those of earlier requests."""
        if self.is_closing:
            return
        self.is_closing = answer.close_after != KEEP_OPEN
        if not delay and not self.queue and answer is not HANG:
            self.answers.append(answer)
            return
        place = ReplySlot()
        self.queue.append(place)
        self.accounts.in_flight += 1
        if answer is not HANG:
            self.write_batch.loop.call_later(delay, self.release, place, answer)

    def release(self, place: ReplySlot, answer: Answer) -> None:
        """Fill an answer's place, and write all answers that are ready at the head of the queue."""
        place.answer = answer
        while self.queue and (head := self.queue[0].answer) is not None:
            self.queue.popleft()
            self.accounts.in_flight -= 1
            self.answers.append(head)
        self.write_batch.add(self)

    def write_answers(self) -> None:
        """Write the answers that are ready, and close the connection if the last one says so."""
        answers, transport = self.answers, self.transport
        if transport is None or not answers:
            return
        last = answers[-1]
        transport.write(last.data if len(answers) == 1 else b"".join([a.data for a in answers]))
        answers.clear()
        if last is RESET:
            self.reset()
        elif last.close_after != KEEP_OPEN:
            self.write_batch.loop.call_later(last.close_after, transport.close)

    def cut(self) -> None:
        """Reset the connection in an outage, unless it is closing with an answer to be written."""
        if not (self.is_closing and self.answers):
            self.reset()

    def reset(self) -> None:
        """Close the connection with a TCP reset."""
        if self.transport is not None:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self.transport.abort()
