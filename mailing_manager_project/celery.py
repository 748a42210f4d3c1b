"""The Celery application; its settings are the CELERY_… names in settings.py."""

import os
from typing import Any

import structlog
from celery import Celery
from celery.signals import (
    before_task_publish,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_shutting_down,
)
from django.db import close_old_connections
from django.dispatch import receiver
from django_structlog.celery.receivers import CeleryReceiver
from django_structlog.celery.signals import (
    bind_extra_task_metadata,
    modify_context_before_task_publish,
)

from mailing_manager_project.postgres_limits import WORKER, limit_statements
from toolkit import request_ids, shutdown
from toolkit.history import actors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailing_manager_project.settings")

app = Celery("mailing_manager")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Otherwise Celery opens a database connection for each task, which takes longer than a small task.
# Set here, because settings.py cannot: the name is not among the settings that Celery knows.
app.conf["CELERY_DB_REUSE_MAX"] = 1000  # tasks

# Only these two of its receivers: what they carry along is for our lines, and Celery has its own.
_carrier = CeleryReceiver()
before_task_publish.connect(_carrier.receiver_before_task_publish)
task_prerun.connect(_carrier.receiver_task_prerun)


@setup_logging.connect
def leave_logging(**kwargs: Any) -> None:
    """Leave the log as settings.py has it; Celery would set the level of all of it."""


@receiver(modify_context_before_task_publish)
def carry_request_id(context: dict[str, Any], **kwargs: Any) -> None:
    """Have a task know for which request it was queued, and nothing else of whoever queued it."""
    for name in {*context} - {request_ids.NAME}:
        del context[name]


@receiver(bind_extra_task_metadata)
def name_task(task: Any, **kwargs: Any) -> None:
    """Have each line that a task logs say which one it is, and of what; its argument is an id."""
    subject = "webhook" if task.name == "deliver_webhooks" else "mailing"
    subjects = {subject: task.request.args[0]} if task.request.args else {}
    structlog.contextvars.bind_contextvars(task=task.name, **subjects)


@task_prerun.connect
def renew_connections(**kwargs: Any) -> None:
    """Close database connections that are too old or broken, before each task."""
    close_old_connections()


@task_prerun.connect
def begin_task(**kwargs: Any) -> None:
    """Have history say that what is done now a task does."""
    actors.begin_task()


@task_postrun.connect
def end_task(**kwargs: Any) -> None:
    """Have history and the log say so no longer."""
    actors.end_task()
    structlog.contextvars.clear_contextvars()


@worker_init.connect
def limit_worker(**kwargs: Any) -> None:
    """Have Postgres end what takes a worker too long."""
    limit_statements(WORKER)


@worker_shutting_down.connect
def request_shutdown(**kwargs: Any) -> None:
    """Have deliveries begin nothing more: a worker that was asked to end waits for its tasks."""
    shutdown.request()
