"""The Celery application; its settings are the CELERY_… names in settings.py."""

import os
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun, worker_init, worker_shutting_down
from django.db import close_old_connections

from mailing_manager_project.postgres_limits import WORKER, limit_statements
from toolkit import shutdown
from toolkit.history import actors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailing_manager_project.settings")

app = Celery("mailing_manager")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Otherwise Celery opens a database connection for each task, which takes longer than a small task.
# Set here, because settings.py cannot: the name is not among the settings that Celery knows.
app.conf["CELERY_DB_REUSE_MAX"] = 1000  # tasks


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
    """Have history say so no longer."""
    actors.end_task()


@worker_init.connect
def limit_worker(**kwargs: Any) -> None:
    """Have Postgres end what takes a worker too long."""
    limit_statements(WORKER)


@worker_shutting_down.connect
def request_shutdown(**kwargs: Any) -> None:
    """Have deliveries begin nothing more: a worker that was asked to end waits for its tasks."""
    shutdown.request()
