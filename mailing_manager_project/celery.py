"""The Celery application; its settings are the CELERY_… names in settings.py."""

import os
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning
from celery.signals import task_prerun
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailing_manager_project.settings")

# Each lost connection would log six lines about tasks with acks_late, which we do not use.
warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)

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
