"""TCP ports of the sandbox: listening, or bound without listening in an outage."""

from __future__ import annotations

import errno
import socket

# Connections that may wait to be accepted: benchmarks open hundreds at once.
BACKLOG = 2048


class PortError(Exception):
    """The port cannot be used; the text says why and what to do."""


def take_port(host: str, port: int) -> socket.socket:
    """Return a socket that listens there (port 0: any free port), or raise PortError."""
    try:
        sock = hold_port(host, port)
        sock.listen(BACKLOG)
    except OSError as error:
        reason = "it is taken" if error.errno == errno.EADDRINUSE else error.strerror
        raise PortError(
            f"Port {port} on {host} cannot be used: {reason}. Choose another, or 0 for any."
        ) from error
    return sock


def hold_port(host: str, port: int) -> socket.socket:
    """Return a socket that is bound there and does not listen: connections are refused."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        # Otherwise closed connections block the port for a minute.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock
