"""`python -m benchmarks.peers.get_sandbox`: a sandbox sender for peers that cannot post JSON.

It also takes `GET /v1/send/{id}?token=…&phone=…&text=…`, and counts, delays and journals such a
message as it does one that is posted. Otherwise it is the sandbox sender, with its options.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from urllib.parse import parse_qs

import uvloop

from sandbox_sender.answers import OK, UNAUTHORIZED, Answer
from sandbox_sender.contract import Message
from sandbox_sender.options import add_arguments, read_options
from sandbox_sender.protocol import Connection
from sandbox_sender.routes import SEND_PATHS, SendRoutes
from sandbox_sender.server import Options, Sandbox


class GetRoutes(SendRoutes):
    """The main port, which also takes messages by GET."""

    def answer(
        self, method: bytes, url: bytes, authorization: bytes, body: bytes, host: bytes
    ) -> tuple[Answer, float]:
        """Accept the message in the address, if there is one."""
        path, _, query = url.partition(b"?")
        folder, _, message_id = path.rpartition(b"/")
        if method != b"GET" or folder not in SEND_PATHS:
            return super().answer(method, url, authorization, body, host)
        return self.accept(int(message_id), query.decode()), self.send_endpoint.draw.draw_delay()

    def accept(self, message_id: int, query: str) -> Answer:
        """Count a message as accepted, unless the token is wrong; there are no other faults."""
        values = parse_qs(query)
        if not self.send_endpoint.is_allowed(f"Bearer {values['token'][0]}".encode()):
            return self.send_endpoint.reject(UNAUTHORIZED)
        message = Message(message_id, int(values["phone"][0]), values["text"][0])
        self.send_endpoint.accounts.accept(message, time.time())
        return self.send_endpoint.count(OK, "")


class GetSandbox(Sandbox):
    """A sandbox whose main port has GetRoutes."""

    def build_connection(self) -> Connection:
        """Return the protocol of a new connection to the main port."""
        routes = GetRoutes(self.send_endpoint, self.control)
        return Connection(routes, self.write_batch, self.accounts, self.connections)


async def run(options: Options) -> None:
    """Run a sandbox in the current event loop."""
    await GetSandbox(options, asyncio.get_running_loop()).run()


def main() -> int:
    """Run a sandbox as the command line says."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers.get_sandbox", description=__doc__)
    add_arguments(parser)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(read_options(vars(parser.parse_args()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
