"""A link to a server that may go dead: packets are dropped, and nobody is told."""

import ctypes
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Thread

# Linux: asm-generic/socket.h, and linux/filter.h for the one instruction "keep no byte of it".
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
DROP = struct.pack("HBBI", 0x06, 0, 0, 0)
CHUNK = 65536  # bytes


class DeadLink:
    """Forwards connections to a port of this machine, until it is cut.

    The kernel then drops what arrives at its sockets before it acknowledges it, as a router does
    that lost its power. After `mend`, new connections get through; those from before stay dead, as
    after a router that has forgotten them.
    """

    def __init__(self, port: int) -> None:
        """Begin to forward; `port` of this link stands for that port."""
        self._target = port
        self._sockets: list[socket.socket] = []
        self._lock = Lock()
        self._is_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Drop every packet from now on."""
        with self._lock:
            self._is_cut = True
            for each in (self._listener, *self._sockets):
                _drop_packets(each)

    def lead_to(self, port: int) -> None:
        """Lead new connections to another port, as an address that moves at a failover does."""
        self._target = port

    def mend(self) -> None:
        """Let new connections through."""
        with self._lock:
            self._is_cut = False
            self._listener.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)

    def close(self) -> None:
        """End all connections."""
        with self._lock:
            for each in (self._listener, *self._sockets):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def _accept(self) -> None:
        with suppress(OSError):  # It is closed.
            while True:
                client, _ = self._listener.accept()
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except ConnectionRefusedError:
            client.close()
            return
        with self._lock:
            self._sockets += [client, server]
            if self._is_cut:  # It was accepted at the last moment.
                _drop_packets(client)
                _drop_packets(server)
        for pair in ((client, server), (server, client)):
            Thread(target=_forward, args=pair, daemon=True).start()


@contextmanager
def dead_link(port: int) -> Iterator[DeadLink]:
    """Run a link for the length of a with block."""
    link = DeadLink(port)
    try:
        yield link
    finally:
        link.close()


def _forward(source: socket.socket, target: socket.socket) -> None:
    """Forward until one side ends, then end both."""
    with suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def _drop_packets(each: socket.socket) -> None:
    program = ctypes.create_string_buffer(DROP)
    with suppress(OSError):  # It is closed.
        each.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program))
        )
