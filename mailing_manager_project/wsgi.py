"""The WSGI application that a web server imports."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from mailing_manager_project.postgres_limits import limit_statements, web

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailing_manager_project.settings")

application = get_wsgi_application()
limit_statements(web(settings.WEB_STATEMENT_TIMEOUT))
