"""The environment of a benchmark: a database, Redis, a sandbox sender and workers of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mailing_manager_project.launcher import programs
from sandbox_sender.launch import RunningSandbox, run_sandbox
from tests.certificates import make_certificate
from tests.servers import private_postgres, private_redis

PROJECT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 15
SENDING_PROCESSES = 2
CONCURRENCY = 100  # open requests of each sending process, where they are fixed


class Environment:
    """An installation that lives as long as one benchmark."""

    def __init__(self, sandbox: RunningSandbox, env: dict[str, str]) -> None:
        """Keep the sandbox, and the environment variables of all programs."""
        self.sandbox = sandbox
        self.env = {**os.environ, **env}

    def run(self, name: str, **arguments: object) -> dict[str, Any]:
        """Run a function of benchmarks.scenarios in a process of its own; return its result."""
        command = [sys.executable, "-m", "benchmarks.scenarios", name, json.dumps(arguments)]
        output = subprocess.run(
            command, cwd=PROJECT, env=self.env, check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        return result

    @contextmanager
    def running(
        self, commands: Iterable[Sequence[str]], **env: str
    ) -> Iterator[list["subprocess.Popen[bytes]"]]:
        """Run programs for the length of a with block; yield their processes."""
        running = [
            subprocess.Popen(command, cwd=PROJECT, env={**self.env, **env}) for command in commands
        ]
        try:
            yield running
        finally:
            for process in running:
                process.terminate()
            for process in running:
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


@contextmanager
def environment(database: str = "postgres", **env: str) -> Iterator[Environment]:
    """Set up an empty, migrated installation on "postgres" or "sqlite"."""
    with ExitStack() as stack:
        var = stack.enter_context(tempfile.TemporaryDirectory(prefix="mailing-bench-"))
        sandbox = stack.enter_context(run_sandbox())
        url = (
            stack.enter_context(private_postgres())
            if database == "postgres"
            else f"sqlite:///{var}/db.sqlite3"
        )
        installation = Environment(
            sandbox,
            {
                "VAR_DIR": var,
                "SECRET_KEY": "only-for-benchmarks",
                "DATABASE_URL": url,
                "CELERY_BROKER_URL": stack.enter_context(private_redis()),
                "MESSAGE_SENDER_URL": f"{sandbox.url}/v1",
                "API_RATE": "",
                "MESSAGE_SENDER_TOKEN": "sandbox",
                "MESSAGE_SENDER_PROCESSES": str(SENDING_PROCESSES),
                **env,
            },
        )
        installation.run("migrate")
        yield installation


@contextmanager
def over_tls(installation: Environment) -> Iterator[Environment]:
    """Yield the same installation with another sandbox, which serves HTTPS."""
    with tempfile.TemporaryDirectory(prefix="mailing-bench-") as folder:
        certificate = make_certificate(Path(folder))
        with run_sandbox(*certificate.options) as sandbox:
            yield Environment(
                sandbox,
                {
                    **installation.env,
                    "MESSAGE_SENDER_URL": f"{sandbox.url}/v1",
                    "MESSAGE_SENDER_CA_FILE": str(certificate.certfile),
                },
            )


def workers(processes: int = SENDING_PROCESSES) -> list[Sequence[str]]:
    """Return the commands of the product's two workers, as main.py starts them."""
    return [
        programs.worker("mailings", processes=1).command,
        programs.worker("messages", processes=processes).command,
    ]
