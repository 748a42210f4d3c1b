"""An installation of systemd's units behind nginx, as docs/operations.md has it."""

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Template
from time import monotonic, sleep
from typing import Any

import psutil
import pytest
import requests

from mailing_manager_project.environment import BASE_DIR
from mailing_manager_project.launcher.process import Program
from tests.certificates import make_certificate
from tests.deploy import units
from tests.faults.keeper import Keeper
from tests.programs import postgres_folder
from tests.sandbox import TOKEN, running_sandbox
from tests.servers import free_port, private_postgres, private_redis, wait_for_port

pytestmark = [pytest.mark.deploy, pytest.mark.flow]

PATIENCE = 90  # seconds; the machine may be busy with other tests
STOP_SECONDS = 30  # TimeoutStopSec
NAME = "mailing.example.com"


class Installation:
    """All programs, with an address of nginx that speaks HTTPS."""

    def __init__(self, folder: Path, resources: ExitStack) -> None:
        """Start everything, as an administrator would, one after the other."""
        self.sandbox = resources.enter_context(running_sandbox(folder))
        credentials, self._folder = folder / "credentials", folder / "var"
        self._credentials = credentials
        credentials.mkdir()
        for name, secret in {
            "secret_key": secrets.token_urlsafe(64),
            "database_url": resources.enter_context(private_postgres()),
            "sender_token": TOKEN,
        }.items():
            (credentials / name).write_text(f"{secret}\n")
        self._environment = {
            **os.environ,
            **units.settings(),
            "CELERY_BROKER_URL": resources.enter_context(private_redis()),
            "MESSAGE_SENDER_URL": self.sandbox.api_url,
        }
        for name in ("SECRET_KEY", "DATABASE_URL", "MESSAGE_SENDER_TOKEN", "VAR_DIR"):
            self._environment.pop(name, None)
        self.keeper = Keeper(folder, self._environment)
        resources.callback(self.keeper.stop)
        self._run(self._unit("mailing-manager-migrate").command)
        self.web_port, port = free_port(), free_port()
        for name in ("web", "beat", "mailings", "imports", "messages", "webhooks"):
            self._start(name)
        self._start("messages", "second")
        certificate = make_certificate(folder)
        self._start_nginx(
            folder,
            LISTEN=f"127.0.0.1:{port} ssl; ssl_certificate {certificate.certfile};"
            f" ssl_certificate_key {certificate.keyfile}",
        )
        self.url = f"https://127.0.0.1:{port}"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(certificate.certfile)
        self.session.headers["Host"] = NAME
        wait_for_port(port, PATIENCE)
        self.wait_for(lambda: self.session.get(f"{self.url}/health/").status_code == 200)

    def log_in(self) -> None:
        """Make an account and a token."""
        self._run(["manage.py", "createsuperuser", "--noinput", "--username=op", "--email=o@x.io"])
        token = self._run(["manage.py", "create_api_token", "op"]).split()[-1]
        self.session.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Call the API through nginx; return what it answers."""
        answer = self.session.request(method, f"{self.url}/api/v1/{path}", **options)
        answer.raise_for_status()
        return answer.json()

    def wait_for(self, condition: Callable[[], object]) -> None:
        deadline = monotonic() + PATIENCE
        while not condition():
            assert monotonic() < deadline, self._last_words()
            sleep(0.1)

    def drill(self) -> str:
        """Make a backup, put it back beside the database, and have it looked through."""
        unit = self._unit("mailing-manager-migrate")
        tools = f"{postgres_folder()}:{os.environ['PATH']}"
        environment = {**self._environment, **unit.environment, "PATH": tools}
        environment["PYTHON"] = unit.command[0]
        drill = subprocess.run(
            [BASE_DIR / "deploy/restore_drill.sh"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert drill.returncode == 0, drill.stdout
        return drill.stdout

    def _unit(self, name: str) -> Program:
        return units.program(name, credentials=self._credentials, folder=self._folder)

    def _start(self, instance: str, name: str = "") -> None:
        unit = self._unit(f"mailing-manager@{instance}")
        words = [*unit.command, *([f"--port={self.web_port}"] if instance == "web" else [])]
        self.keeper.keep(Program(name or instance, words), extra=unit.environment)

    def _start_nginx(self, folder: Path, **values: str) -> None:
        text = (BASE_DIR / "deploy/nginx/mailing-manager.conf.template").read_text()
        site = Template(text).safe_substitute(WEB_ADDRESS=f"127.0.0.1:{self.web_port}", **values)
        configuration = folder / "nginx.conf"
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configuration.write_text(
            f"daemon off; user root; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
            f"events {{}}\nhttp {{ access_log off;\n{temporary}{site}}}\n"
        )
        subprocess.run(["nginx", "-t", "-q", "-c", str(configuration)], check=True)
        self.keeper.keep(Program("nginx", ["nginx", "-c", str(configuration)]))

    def _run(self, words: Any) -> str:
        unit = self._unit("mailing-manager-migrate")
        command = [unit.command[0], *words] if words[0] == "manage.py" else words
        environment = {**self._environment, **unit.environment}
        environment["DJANGO_SUPERUSER_PASSWORD"] = secrets.token_urlsafe(24)
        return subprocess.run(
            command, cwd=BASE_DIR, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def _last_words(self) -> str:
        logs = sorted(self._folder.parent.glob("*.log"))
        return "\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in logs)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with ExitStack() as resources:
        yield Installation(tmp_path, resources)


def test_it_imports_and_delivers_behind_nginx_is_backed_up_and_stops_in_time(
    installation: Installation,
) -> None:
    installation.log_in()
    rows = "phone_number\n" + "".join(f"79{i:09}\n" for i in range(500))
    job = installation.call("POST", "imports/", files={"file": ("clients.csv", rows)})
    installation.wait_for(
        lambda: installation.call("GET", f"imports/{job['id']}/")["status"] == "finished"
    )
    now = datetime.now(UTC)
    mailing = installation.call(
        "POST",
        "mailings/",
        json={
            "start_time": now.isoformat(),
            "stop_time": (now + timedelta(hours=1)).isoformat(),
            "text": "Hello",
            "filters": {},
        },
    )
    stats = f"mailings/{mailing['id']}/stats/"
    installation.wait_for(lambda: installation.call("GET", stats)["stats"]["success"] == 500)
    assert installation.sandbox.journal().accepted.total() == 500

    said = installation.drill()
    assert "This database is a copy, or was restored." in said
    assert "1 mailings at" in said
    assert said.endswith("The backup is good.\n")

    for name in installation.keeper.starts:
        process, began_at = installation.keeper.process(name), monotonic()
        installation.keeper.end(name)
        assert monotonic() - began_at < STOP_SECONDS, name
        assert not psutil.pid_exists(process.pid)
    assert set(installation.keeper.starts.values()) == {1}
