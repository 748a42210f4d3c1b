"""The running sandbox: two ports, one process, one event loop."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from sandbox_sender.accounts import Accounts
from sandbox_sender.control import Control
from sandbox_sender.faults import FaultError, Faults
from sandbox_sender.journal import Journal, JournalError
from sandbox_sender.ports import BACKLOG, PortError, hold_port, take_port
from sandbox_sender.protocol import Connection
from sandbox_sender.routes import ControlRoutes, SendRoutes
from sandbox_sender.send_endpoint import SendEndpoint
from sandbox_sender.tls import CertificateError, load_certificate
from sandbox_sender.write_batch import WriteBatch


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a sandbox. Port 0 is any free port; an empty token accepts any other."""

    host: str = "127.0.0.1"
    port: int = 8025
    control_port: int = 0
    token: str = "sandbox"
    is_deduplicating: bool = True
    journal: Path | None = None
    is_synced: bool = False
    certfile: Path | None = None
    keyfile: Path | None = None
    faults: Faults = field(default_factory=Faults)


def serve(options: Options) -> int:
    """Run a sandbox until it is told to stop, and return the exit code of the process."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_sandbox(options))
    except KeyboardInterrupt:
        return 0
    except (PortError, JournalError, CertificateError) as error:
        sys.stderr.write(f"Sandbox sender: {error}\n")
        return 1
    return 0


async def run_sandbox(options: Options) -> None:
    """Run a sandbox in the current event loop."""
    await Sandbox(options, asyncio.get_running_loop()).run()


class Sandbox:
    """One running sandbox: its ports, journal, accounts and connections."""

    def __init__(self, options: Options, loop: asyncio.AbstractEventLoop) -> None:
        """Take the ports and read the files.

        Raises PortError, JournalError or CertificateError if it cannot.
        """
        self.options = options
        self.loop = loop
        self.tls = load_certificate(options.certfile, options.keyfile)
        self.stopped: asyncio.Future[None] = loop.create_future()
        self.socket = take_port(options.host, options.port)
        self.control_socket = take_port(options.host, options.control_port)
        self.port: int = self.socket.getsockname()[1]
        self.control_port: int = self.control_socket.getsockname()[1]
        self.journal = Journal(options.journal, options.is_synced) if options.journal else None
        self.accounts = Accounts(self.journal, is_deduplicating=options.is_deduplicating)
        self.write_batch = WriteBatch(loop, self.journal, self.fail)
        self.send_endpoint = SendEndpoint(self.accounts, options.token, options.faults)
        self.control = Control(self.accounts, options.faults, self.follow_faults)
        self.connections: set[Connection] = set()
        self.listener: asyncio.Server | None = None
        self.recovering: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until stopped."""
        stop_on_signals(self.loop, self.stop)
        await self.loop.create_server(self.build_control_connection, sock=self.control_socket)
        if self.options.faults.outage:
            self.socket.close()
            self.socket = hold_port(self.options.host, self.port)
        else:
            await self.accept()
        self.announce()
        try:
            await self.stopped
        finally:
            self.close()

    def announce(self) -> None:
        """Print one line with the ports, which a parent process reads."""
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        scheme = "http" if self.tls is None else "https"
        sys.stdout.write(
            f"Sandbox sender: {scheme}://{host}:{self.port} (inbox), "
            f"port {self.port}, control port {self.control_port}\n"
        )
        sys.stdout.flush()

    def build_connection(self) -> Connection:
        """Return the protocol of a new connection to the main port."""
        routes = SendRoutes(self.send_endpoint, self.control)
        return Connection(routes, self.write_batch, self.accounts, self.connections)

    def build_control_connection(self) -> Connection:
        """Return the protocol of a new connection to the control port; no outage cuts it."""
        return Connection(ControlRoutes(self.control), self.write_batch, self.accounts, set())

    def follow_faults(self, faults: Faults) -> None:
        """Replace the faults; raise FaultError while the sandbox is coming back from an outage."""
        if self.recovering is not None and not self.recovering.done():
            raise FaultError("The sandbox is just coming back from an outage. Try again.")
        self.send_endpoint.set_faults(faults)
        if faults.outage and self.listener is not None:
            self.go_down(self.listener)
        elif not faults.outage and self.listener is None:
            self.end_outage()

    def go_down(self, listener: asyncio.Server) -> None:
        """Refuse new connections and cut the open ones."""
        listener.close()
        self.listener = None
        self.socket = hold_port(self.options.host, self.port)
        # Later, because the connection that asked for the outage gets its answer first.
        self.loop.call_soon(self.cut_connections)

    def cut_connections(self) -> None:
        """Cut every connection to the main port."""
        for connection in list(self.connections):
            connection.cut()

    def end_outage(self) -> None:
        """Listen again: clients can connect at once, and are served as soon as `accept` runs."""
        self.socket.listen(BACKLOG)
        self.recovering = self.loop.create_task(self.accept())

    async def accept(self) -> None:
        """Serve the connections to the main port."""
        self.listener = await self.loop.create_server(
            self.build_connection, sock=self.socket, backlog=BACKLOG, ssl=self.tls
        )

    def stop(self) -> None:
        """End run()."""
        if not self.stopped.done():
            self.stopped.set_result(None)

    def fail(self, error: OSError) -> None:
        """End run() with an error, because no message may be answered without the journal."""
        if not self.stopped.done():
            self.stopped.set_exception(JournalError(f"The journal cannot be written: {error}."))

    def close(self) -> None:
        """Write the rest of the journal and close it."""
        if self.journal is not None and self.stopped.exception() is None:
            self.journal.close()


def stop_on_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Stop on SIGTERM and Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
