"""The Celery application; its settings are the CELERY_… names in settings.py."""

import os
import warnings

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailing_manager_project.settings")

# Each lost connection would bring six lines about tasks with acks_late, which we do not have.
warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)

app = Celery("mailing_manager")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
