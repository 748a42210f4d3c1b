"""What has to be there before anything starts: folder, key, ports, tables, an account."""

import errno
import logging
import os
import secrets
import socket
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import django
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Tags, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.files import locks
from django.core.management import call_command
from django.db import Error as DatabaseError
from django.db import connection, connections, transaction

from mailing_manager_project.checks import TAG
from mailing_manager_project.environment import VAR_DIR, SetupError, env
from mailing_manager_project.folders import explain_unwritable, make_folder, refuse_open_folder

ADMIN = "admin"
PORTS_TO_TRY = 100
ENGINES = ("django.db.backends.sqlite3", "django.db.backends.postgresql")

logger = logging.getLogger("main")


@contextmanager
def hold_folder() -> Iterator[None]:
    """Make the folder of the installation's files if need be, and keep it to ourselves.

    Raises:
        SetupError: it cannot be written to, others can look into it, or another main.py runs on it.
    """
    make_folder(VAR_DIR)
    refuse_open_folder(VAR_DIR)
    with explain_unwritable(VAR_DIR):
        lock = (VAR_DIR / "main.lock").open("a+")
    with lock:
        if not locks.lock(lock, locks.LOCK_EX | locks.LOCK_NB):
            raise SetupError(
                f"It runs already on {VAR_DIR}{_holder(lock.name)}. Stop that one first, or give "
                "this one another folder by the environment variable VAR_DIR."
            )
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def make_secret_key() -> None:
    """Make the file with Django's SECRET_KEY, unless there is a key already.

    Raises:
        SetupError: the file cannot be written.
    """
    key_file = VAR_DIR / "secret_key"
    if env.str("SECRET_KEY", default="") or key_file.exists():
        return
    with (
        explain_unwritable(VAR_DIR),
        tempfile.NamedTemporaryFile("w", dir=VAR_DIR, delete=False) as file,
    ):
        # Temporary files are ours alone (0600); put in place whole, or not at all.
        file.write(secrets.token_urlsafe(50))
    Path(file.name).replace(key_file)


def check_port(host: str, port: int) -> None:
    """See that a server can listen there.

    Raises:
        SetupError: it cannot.
    """
    try:
        _listen(host, port)
    except OSError as error:
        reason = error.strerror
        if error.errno == errno.EADDRINUSE:
            reason = "another program uses it"
        raise SetupError(
            f"Port {port} on {host} cannot be had: {reason}. Free it, or choose another one, "
            f"for example --port {port + 1 if port >= 1024 else 8000}."
        ) from None


def find_port(host: str, first: int, *, other_than: int) -> int:
    """Return the first port from a number upwards that a server can listen at.

    Raises:
        SetupError: there is none near.
    """
    last = min(first + PORTS_TO_TRY, 65535)
    for port in range(first, last + 1):
        with suppress(OSError):
            if port != other_than:
                _listen(host, port)
                return port
    raise SetupError(f"No port from {first} to {last} is free on {host}.")


def load_settings(besides: Collection[str] = ()) -> None:
    """Load Django, and see that this installation can work as it is set.

    Warnings are logged, besides those with these ids.

    Raises:
        SetupError: a setting is wrong, or cannot work here.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailing_manager_project.settings")
    try:
        if settings.DATABASES["default"]["ENGINE"] not in ENGINES:
            raise ImproperlyConfigured("DATABASE_URL must begin with sqlite:/// or postgres://.")
        django.setup()
    except (ImproperlyConfigured, ValueError, OSError) as error:
        raise SetupError(f"A setting is wrong. {error} See .env.example.") from None
    issues = sorted(_find_issues(), key=lambda issue: str(issue.id))  # Django keeps no order.
    for issue in issues:
        if issue.is_serious():
            raise SetupError(f"{issue.msg} {issue.hint}")
    for issue in issues:
        if issue.id not in besides:
            logger.warning("%s %s (%s)", issue.msg, issue.hint, issue.id)


def _find_issues() -> list[CheckMessage]:
    """Return what our checks find, and Django's for production where others are served."""
    found = list(run_checks(tags=[TAG]))
    if not settings.IS_LOCAL:
        found += run_checks(tags=[Tags.security], include_deployment_checks=True)
    return [issue for issue in found if not issue.is_silenced()]


def prepare_database() -> None:
    """Bring the tables up to date.

    Raises:
        SetupError: the database does not answer or refuses.
    """
    try:
        connection.ensure_connection()
        call_command("migrate", interactive=False, verbosity=0)
    except (DatabaseError, ImproperlyConfigured) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise SetupError(
            f"The database {_database()} cannot be used: {reason}. "
            "Start it, or correct DATABASE_URL."
        ) from None
    finally:
        connections.close_all()


def make_first_account() -> str:
    """Make an administrator if nobody has an account yet; return the password, or nothing.

    The password has to be changed at the first login: it stays in whatever keeps our output.
    """
    # Models can be imported only now that Django is set up.
    from toolkit.access.models import FirstPassword

    users = get_user_model().objects
    if users.exists():
        return ""
    password = secrets.token_urlsafe(12)
    with transaction.atomic():
        FirstPassword.objects.create(user=users.create_superuser(ADMIN, password=password))
    return password


def _holder(lock_file: str) -> str:
    """Return who holds the lock, in words; nothing where locked files cannot be read."""
    with suppress(OSError):
        return f" (process {Path(lock_file).read_text()})"
    return ""


def _listen(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socket.create_server((host, port), family=family).close()


def _database() -> str:
    """Return where the database is, without its password."""
    where = connection.settings_dict
    if not where["HOST"]:
        return str(where["NAME"])
    return f"{where['NAME']} at {where['HOST']}:{where['PORT'] or 5432}"
