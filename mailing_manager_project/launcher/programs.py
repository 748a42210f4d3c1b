"""The programs that an installation consists of, and how to see that they work."""

import sys
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from django.conf import settings

from mailing_manager_project.launcher.broker import Broker
from mailing_manager_project.launcher.process import Program
from messages_app.sender.transports.base import is_loopback

LOCALHOST = "127.0.0.1"
PYTHON = (sys.executable, "-m")
# Root is all there is in many containers, and tasks that are JSON do it no harm.
NO_ROOT_WARNING = "-Wignore:You're running the worker with superuser privileges"
CELERY = (
    sys.executable, NO_ROOT_WARNING, "-m",
    "celery", "--quiet", "--no-color", "--app=mailing_manager_project",
)  # fmt: skip


def redis(broker: Broker) -> Program:
    """Return our own Redis."""
    hint = f"See {broker.log_file}."
    return Program("redis", broker.command, broker.answers, hint, environment=NO_TOKEN)


# Only the web server, for logins, knows the secret for the company's provider. Only it, for
# test messages, and the worker that sends know the sender's token.
# Empty, because .env would fill in what is not there.
NO_LOGINS = {"OIDC_CLIENT_SECRET": "", "OIDC_CLIENT_SECRET_FILE": ""}
NO_TOKEN = {**NO_LOGINS, "MESSAGE_SENDER_TOKEN": "", "MESSAGE_SENDER_TOKEN_FILE": ""}
# No word that the sandbox says: whatever it says, our token is masked in it.
SANDBOX_TOKEN = "the-token-of-this-sandbox"


def sandbox(port: int, journal: Path) -> Program:
    """Return the sandbox sender."""
    options = [f"--port={port}", f"--token={SANDBOX_TOKEN}", f"--journal={journal}"]
    return Program(
        "sandbox", [*PYTHON, "sandbox_sender", *options], _serves(LOCALHOST, port, "/stats")
    )


def web(host: str, port: int) -> Program:
    """Return the web server."""
    command = ["gunicorn", "--config=gunicorn.conf.py", f"--bind={address(host, port)}"]
    command += ["--graceful-timeout=5", "--log-level=warning", "--no-control-socket"]
    application = "mailing_manager_project.wsgi:application"
    serves = _serves(host, port, "/health/")
    return Program("web", [*PYTHON, *command, application], serves)


def beat() -> Program:
    """Return the clock. Its schedule is in the database, so it keeps no file."""
    return Program("beat", [*CELERY, "beat", "--pidfile="], environment=NO_TOKEN)


def worker(queue: str, *, processes: int) -> Program:
    """Return the worker of a queue."""
    options = [f"--queues={queue}", f"--hostname={queue}@%h", "--without-gossip"]
    options += ["--without-mingle", "--pool=prefork", f"--concurrency={processes}"]
    environment = NO_LOGINS if queue == "messages" else NO_TOKEN
    return Program(queue, [*CELERY, "worker", *options], environment=environment)


def address(host: str, port: int) -> str:
    """Return host and port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable(host: str) -> str:
    """Return how to reach a server from this machine, also one that listens everywhere."""
    return "localhost" if host in ("0.0.0.0", "::") else host  # nosec B104


def is_local(host: str) -> bool:
    """Tell whether only this machine can reach a server on this address."""
    return host == "localhost" or is_loopback(f"http://{address(host, 80)}")


def _serves(host: str, port: int, path: str) -> Callable[[], bool]:
    return partial(_is_ok, reachable(host), port, path)


def _is_ok(host: str, port: int, path: str) -> bool:
    # Asked under a name that the application answers to.
    name = next(iter(settings.ALLOWED_HOSTS), "*").lstrip(".")
    connection = HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", path, headers={"Host": "localhost" if name == "*" else name})
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
