"""The ticks: what beat has to queue again and again, or nothing is sent.

They are the program's own. The console shows them and lets nobody change them; where one was
deleted, renamed or switched off below the console, `manage.py check` says so, and `migrate`, which
main.py runs at each start, puts it back. How often a tick comes may be changed below the console
and stays so.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import AppConfig, apps
from django.db import router, transaction
from django.db.models.signals import post_migrate
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

EXPIRE_SECONDS = 300  # after which a tick that no worker took is dropped: the next one is there


@dataclass(frozen=True)
class Tick:
    """A task of the program that beat queues, and what it is for."""

    name: str  # of its row, and of its task
    seconds: int  # between two, on a new installation
    does: Promise


TICKS = (
    Tick("start_mailing", 60, _("Looks for mailings to start, and plans their messages.")),
    Tick(
        "send_message", 5, _("Looks for messages that are due, and takes over what was left lying.")
    ),
    Tick("finish_mailing", 60, _("Closes mailings that are over, and keeps the counts.")),
    Tick("relay_webhooks", 5, _("Tells webhooks what has happened.")),
    Tick("send_reports", 60, _("Sends the daily letters, each morning.")),
)
NAMES = tuple(tick.name for tick in TICKS)


def restore_after_migrate() -> None:
    """Have ticks that are missing put back at the end of `migrate`."""
    last = [each for each in apps.get_app_configs() if each.models_module][-1]
    post_migrate.connect(restore, sender=last, dispatch_uid="mailing_manager.restore_ticks")


def broken(tasks: Any) -> Iterator[Tick]:
    """Yield the ticks that beat does not queue, of the rows of a model of periodic tasks."""
    rows = tasks.filter(name__in=NAMES, enabled=True).values_list("name", "task")
    intact = {name for name, task in rows if name == task}
    yield from (tick for tick in TICKS if tick.name not in intact)


def restore(sender: AppConfig, using: str = "default", apps: Any = apps, **_: object) -> None:
    """Put back the ticks that are missing, switched off, or run something else."""
    try:
        models = {
            name: apps.get_model("django_celery_beat", name).objects.using(using)
            for name in ("PeriodicTask", "IntervalSchedule", "PeriodicTasks")
        }
        apps.get_model("reports", "Recipient")  # Of an earlier state, its migrations see to them.
    except LookupError:
        return
    if not router.allow_migrate_model(using, models["PeriodicTask"].model):
        return
    with transaction.atomic(using=using):
        found = list(broken(models["PeriodicTask"]))
        for tick in found:
            _restore(tick, models)
        if found:  # or beat would not read the schedule again
            last_change = {"last_update": timezone.now()}
            models["PeriodicTasks"].update_or_create(ident=1, defaults=last_change)


def _restore(tick: Tick, models: dict[str, Any]) -> None:
    intact = {"task": tick.name, "enabled": True}
    if models["PeriodicTask"].filter(name=tick.name).update(**intact):
        return
    often = models["IntervalSchedule"].filter(every=tick.seconds, period="seconds").first()
    often = often or models["IntervalSchedule"].create(every=tick.seconds, period="seconds")
    models["PeriodicTask"].create(
        name=tick.name, interval=often, expire_seconds=EXPIRE_SECONDS, **intact
    )
