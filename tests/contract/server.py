"""The web server of an installation of a test's own, and tokens of those who call it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from django.core.management import get_commands, load_command_class

from mailing_manager_project.environment import BASE_DIR
from tests.installation import Installation, Template, stop_all
from tests.servers import free_port, private_postgres, private_redis, wait_for_port

# Whoever calls, and the group of the user whose token they bring.
ROLES = {
    "nobody": None,
    "viewer": "viewers",
    "operator": "operators",
    "administrator": "administrators",
}
READER = "reader"
ADD_USER = """
from django.contrib.auth.models import Group, User
user = User.objects.create(username="{name}", is_staff=True)
user.groups.add(Group.objects.get(name="{group}"))
"""


def roles() -> list[str]:
    """Return all kinds of callers: also a token that only reads, where tokens have scopes."""
    command = load_command_class(get_commands()["create_api_token"], "create_api_token")
    options = command.create_parser("manage.py", "create_api_token").format_help()
    return [*ROLES, *([READER] if "--scope" in options else [])]


class Web:
    """The REST API of an installation, on a port of its own."""

    def __init__(self, installation: Installation) -> None:
        """Start it."""
        self.installation = installation
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        # However fast the tests are, they are not what limits are for.
        installation.environment |= {"API_RATE": "1000000/min"}

    @contextmanager
    def running(self) -> Iterator["Web"]:
        """Serve for the length of a with block."""
        options = [f"--bind=127.0.0.1:{self._port}", "--threads=4", "--preload"]
        quiet = ["--no-control-socket", "--log-level=warning"]
        application = "mailing_manager_project.wsgi:application"
        log = self.installation.folder / "web.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *options, *quiet, application],
                cwd=BASE_DIR,
                env=self.installation.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_for_port(self._port, timeout=60)
            yield self
        finally:
            stop_all([server])

    def token(self, role: str) -> str:
        """Return a token of a role's own user; nobody has none."""
        group = "administrators" if role == READER else ROLES[role]
        if group is None:
            return ""
        self.installation.run(ADD_USER.format(name=role, group=group))
        scope = ["--scope", "read"] if role == READER else []
        return self.installation.manage("create_api_token", role, *scope).strip()


@contextmanager
def running_web(folder: Path) -> Iterator[Web]:
    """Run the web server of a new installation on Postgres for the length of a with block."""
    with ExitStack() as resources:
        database = Template(resources.enter_context(private_postgres(fsync="off"))).url
        broker = resources.enter_context(private_redis())
        installation = Installation(folder, database, broker, resources)
        yield resources.enter_context(Web(installation).running())
