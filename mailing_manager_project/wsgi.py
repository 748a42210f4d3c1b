"""The WSGI application that a web server imports."""

import os

from django.core.wsgi import get_wsgi_application

from mailing_manager_project.postgres_limits import WEB, limit_statements

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailing_manager_project.settings")

application = get_wsgi_application()
limit_statements(WEB)
