"""Kannel, an SMS gateway written in C, as a contender: apt-get install kannel.

Set up as its user guide advises (Debian's kannel-docs): a store in a spool directory ("By using
this subsystem, no SMS messages are lost in Kannel even by crash"), an HTTP sender of system type
"generic", and messages handed over in bulk by its own mtbatch(1). For max-pending-submits, requests
open at once, the guide names 10 as a guideline; we give it as many as we have.

It takes messages only while it runs, so they are handed over to one that does not reach its sender,
and lie in its spool when the race begins. `python -m benchmarks.peers.kannel` becomes the gateway
that sends to MESSAGE_SENDER_URL.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.environment import CONCURRENCY, PROJECT, SENDING_PROCESSES, Environment
from tests.servers import free_port, wait_for_port

FIRST_PHONE = 79_000_000_000
TEXT = "A text as long as the one that the mailing has, to be fair."
GATEWAY = "bearerbox"  # the program that takes, keeps and sends messages
MISSING = "Kannel is left out: there is no bearerbox on PATH. Install it (apt-get install kannel)."
QUIETLY = ("-v", "4")  # panics only

# Kannel's escape codes: %p is the receiver, which is the message's id too; %b is the text.
CONFIGURATION = """\
group = core
admin-port = {admin_port}
admin-password = {token}
admin-deny-ip = "*.*.*.*"
admin-allow-ip = 127.0.0.1
smsbox-port = {port}
smsbox-interface = 127.0.0.1
box-deny-ip = "*.*.*.*"
box-allow-ip = 127.0.0.1
store-type = spool
store-location = {spool}

group = smsc
smsc = http
system-type = generic
port = {incoming_port}
send-url = "{url}/send/%p?token={token}&phone=%p&text=%b"
status-success-regex = "OK"
max-pending-submits = {open}

group = smsbox
bearerbox-host = 127.0.0.1
"""


def is_installed() -> bool:
    """Tell whether the gateway and its bulk program are on PATH."""
    return all(shutil.which(program) for program in (GATEWAY, "mtbatch"))


class Kannel:
    """Kannel with its spool."""

    sandbox = "benchmarks.peers.get_sandbox"
    numbers = (20_000, 20_000)
    commands = ((sys.executable, "-m", "benchmarks.peers.kannel"),)

    def __init__(self, installation: Environment) -> None:
        """Keep files in the installation's folder."""
        self.name = f"Kannel {_version()}"
        self._folder = Path(installation.env["VAR_DIR"]) / "kannel"
        self._spool = self._folder / "spool"
        self._port = free_port()
        self.env: Mapping[str, str] = {
            **installation.env,
            "KANNEL_FOLDER": str(self._folder),
            "KANNEL_PORT": str(self._port),
        }

    def queue(self, number: int) -> None:
        """Spool new messages."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._spool.mkdir(parents=True)
        with self._gateway_without_sender():
            self._hand_over(number)
        if (left := self.left()) != number:
            raise RuntimeError(f"Kannel has {left} messages of {number}.")

    def left(self) -> int:
        """Count the messages in the spool; each is a file until the sender accepted it."""
        return sum(len(files) for _, _, files in os.walk(self._spool))

    @contextmanager
    def _gateway_without_sender(self) -> Iterator[None]:
        """Run a gateway that keeps what it gets."""
        env = {**self.env, "MESSAGE_SENDER_URL": f"http://127.0.0.1:{free_port()}/v1"}
        gateway = subprocess.Popen(self.commands[0], cwd=PROJECT, env=env)
        try:
            wait_for_port(self._port)
            yield
        finally:
            gateway.terminate()
            gateway.wait()

    def _hand_over(self, number: int) -> None:
        """Give the gateway a text and its receivers; return when it has taken all of them."""
        text, receivers = self._folder / "text", self._folder / "receivers"
        text.write_text(TEXT)
        receivers.write_text("".join(f"{FIRST_PHONE + each}\n" for each in range(1, number + 1)))
        command = ["mtbatch", *QUIETLY, "-b", "127.0.0.1", "-p", str(self._port)]
        subprocess.run([*command, "-f", "us", str(text), str(receivers)], check=True)


def become_gateway() -> None:
    """Write the configuration that the environment asks for, and run the gateway with it."""
    folder = Path(os.environ["KANNEL_FOLDER"])
    configuration = folder / "kannel.conf"
    configuration.write_text(
        CONFIGURATION.format(
            admin_port=free_port(),
            incoming_port=free_port(),
            port=os.environ["KANNEL_PORT"],
            spool=folder / "spool",
            url=os.environ["MESSAGE_SENDER_URL"],
            token=os.environ["MESSAGE_SENDER_TOKEN"],
            open=SENDING_PROCESSES * CONCURRENCY,
        )
    )
    os.execvp(GATEWAY, [GATEWAY, *QUIETLY, str(configuration)])


def _version() -> str:
    """Return the version; it stands in the first line, between quotes."""
    command = [GATEWAY, "--version"]
    output = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    return output.partition("`")[2].partition("'")[0]


if __name__ == "__main__":
    become_gateway()
