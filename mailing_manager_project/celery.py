"""The Celery application; its settings are the CELERY_… names in settings.py."""

import os
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning
from celery.signals import task_prerun
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailing_manager_project.settings")

# Each lost connection would bring six lines about tasks with acks_late, which we do not have.
warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)

app = Celery("mailing_manager")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Celery opens a database connection for each task otherwise, which takes longer than a small one.
# It has no name for this among the settings.
app.conf["CELERY_DB_REUSE_MAX"] = 1000  # tasks


@task_prerun.connect
def renew_connections(**kwargs: Any) -> None:
    """Replace a database connection that is old, or died while no task needed it."""
    close_old_connections()
