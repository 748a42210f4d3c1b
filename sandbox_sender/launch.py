"""Starts a sandbox in a process of its own and sends it requests: for tests and benchmarks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

PROJECT = Path(__file__).resolve().parents[1]
READY = re.compile(r"Sandbox sender: (https?:\S+):(\d+) \(inbox\), port \d+, control port (\d+)")
STOP_SECONDS = 5
# A proxy from the environment is not used for this machine's own ports.
opener = build_opener(ProxyHandler({}))


class RunningSandbox:
    """A sandbox in a process of its own."""

    def __init__(self, *arguments: str, module: str = "sandbox_sender") -> None:
        """Start it with these command line arguments and wait until it takes requests.

        `module` is the program of the sandbox; any must take these arguments.
        The port is a free one unless --port says otherwise; relative paths begin at the project.
        Raises RuntimeError when it ends instead; its stderr, that of this process, says why.
        """
        command = [sys.executable, "-m", module, "--port", "0", *arguments]
        # Only this program is started, by the same Python.
        self.process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline() if self.process.stdout else ""
        ready = READY.match(line)
        if ready is None:
            self.stop()
            raise RuntimeError(f"The sandbox sender did not start: exit code {self.process.poll()}")
        self.port = int(ready[2])
        self.url = f"{ready[1]}:{ready[2]}"
        self.control_port = int(ready[3])
        self.control_url = f"{ready[1].replace('https:', 'http:')}:{ready[3]}"

    def get(self, path: str) -> Any:
        """Return the JSON at a path of the control port, such as /stats. Any: it is JSON."""
        with opener.open(self.control_url + path) as answer:
            return json.load(answer)

    def set_faults(self, **faults: object) -> None:
        """Set exactly these faults; without arguments, none."""
        body = json.dumps(faults).encode()
        with opener.open(Request(f"{self.control_url}/faults", body, method="PUT")):
            pass

    def kill(self) -> None:
        """Kill it, as `kill -9` does."""
        self.process.kill()
        self.wait()

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        self.process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait for its end, kill it after STOP_SECONDS, and return its exit code."""
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            if self.process.stdout:
                self.process.stdout.close()


@contextmanager
def run_sandbox(*arguments: str, module: str = "sandbox_sender") -> Iterator[RunningSandbox]:
    """Run a sandbox for the length of a with block."""
    sandbox = RunningSandbox(*arguments, module=module)
    try:
        yield sandbox
    finally:
        sandbox.stop()
