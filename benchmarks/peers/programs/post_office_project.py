"""A Django project with django-post_office, whose backend posts to the sender.

https://pypi.org/project/django-post-office/: BATCH_SIZE, THREADS_PER_PROCESS, and
`send_queued_mail` with several processes, which cron starts anew every minute.
"""

import os
import sys
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.management import call_command, execute_from_command_line
from posting import command_line

database = urlsplit(os.environ["PEER_DATABASE_URL"])
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "post_office"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": database.path[1:],
            "HOST": database.hostname,
            "PORT": database.port,
            "USER": database.username,
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    USE_TZ=True,
    POST_OFFICE={
        "BACKENDS": {"default": "post_office_backend.SenderBackend"},
        "BATCH_SIZE": 1_000,
        "THREADS_PER_PROCESS": 100,
        "LOG_LEVEL": 1,
        "MAX_RETRIES": 4,
    },
)
django.setup()

from post_office.models import STATUS, Email  # noqa: E402  # after the setup


def queue(count):
    """Make the tables, and queue `count` mails; a mail's subject is its number."""
    call_command("migrate", verbosity=0)
    Email.objects.bulk_create(
        [
            Email(
                from_email="us@example.com",
                to=[f"{number}@example.com"],
                subject=str(number),
                status=STATUS.queued,
            )
            for number in range(1, count + 1)
        ],
        batch_size=1_000,
    )


def left():
    """Count the mails that are to be sent, or sent again."""
    return Email.objects.filter(status__in=[STATUS.queued, STATUS.requeued]).count()


if __name__ == "__main__":
    if sys.argv[1] == "send_queued_mail":
        execute_from_command_line(sys.argv)
    else:
        command_line(queue, left)
