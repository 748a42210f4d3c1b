"""Examining: all checks at once, each for a bounded time: a silent service costs seconds."""

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from functools import partial
from time import monotonic
from typing import NamedTuple

from django.db import connections

from mailing_manager_project.doctor import broker, database, machine, sender, work
from mailing_manager_project.doctor.findings import Finding, Level, error
from messages_app.sender.masking import mask
from toolkit.patience import begin


class Check(NamedTuple):
    """Something to look at: how long that may take, and what to do where it fails altogether."""

    name: str
    look: Callable[[], Iterable[Finding]]
    hint: str
    seconds: float = 10.0


DATABASE = Check(
    "database",
    database.look,
    "Start it, or correct DATABASE_URL. What needs it was not looked at.",
)
CHECKS = (
    Check("broker", broker.look, "Look at the broker and at CELERY_BROKER_URL."),
    Check("sender", sender.look, "Correct MESSAGE_SENDER_URL."),
    Check(
        "storage",
        machine.look_at_storage,
        "Make VAR_DIR/files writable, or correct FILES_S3_BUCKET and the rights to it.",
    ),
    Check("disk", machine.look_at_disk, "Look at VAR_DIR."),
    Check("spool", machine.look_at_spool, "Look at VAR_DIR/spool."),
)
CHECKS_OF_THE_DATABASE = (
    Check("migrations", database.look_at_migrations, "Run 'python manage.py migrate'."),
    Check("clock", database.look_at_clock, "Look at the clocks by hand."),
    Check("heartbeats", work.look_at_heartbeats, "Run 'python manage.py migrate'."),
    Check("sending", work.look_at_holds, "Run 'python manage.py migrate'."),
    Check("token", sender.look_at_token, "Run 'python manage.py migrate'."),
    Check("workers", broker.look_at_workers, "Look at the workers' logs.", seconds=15.0),
    Check("settings", work.look_at_settings, "Run 'python manage.py check'."),
)


def examine() -> list[Finding]:
    """Look at everything; return what was found, check by check."""
    others = _begin(CHECKS)
    found = _wait(_begin([DATABASE]))
    if all(each.level != Level.ERROR for each in found):
        found += _wait(_begin(CHECKS_OF_THE_DATABASE))
    return found + _wait(others)


Begun = list[tuple[Check, float, "Future[list[Finding]]"]]


def _begin(checks: Collection[Check]) -> Begun:
    return [(check, monotonic(), begin(partial(_look, check))) for check in checks]


def _wait(begun: Begun) -> list[Finding]:
    found: list[Finding] = []
    for check, began_at, future in begun:
        try:
            findings = future.result(max(0.0, began_at + check.seconds - monotonic()))
        except TimeoutError:
            findings = [error(f"No answer in {check.seconds:g} seconds.", check.hint)]
        except Exception as failure:  # whatever a service or its library comes up with
            reason = mask(str(failure).strip().partition("\n")[0]) or "no reason given"
            findings = [error(f"{type(failure).__name__}: {reason}", check.hint)]
        found += [each._replace(check=check.name) for each in findings]
    return found


def _look(check: Check) -> list[Finding]:
    try:
        return list(check.look())
    finally:
        connections.close_all()  # those of this thread
