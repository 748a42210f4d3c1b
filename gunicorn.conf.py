"""How the web server runs; gunicorn reads this by itself where it is started beside it.

What stands on its command line counts more, such as --bind and --workers.
"""

import os

from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailing_manager_project.settings")

logconfig_dict = settings.LOGGING
workers = 2
# Each takes a connection to Postgres while it works, and none while it waits for a request.
threads = 24
worker_class = "mailing_manager_project.web_worker.Worker"
preload_app = True
