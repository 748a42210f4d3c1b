"""The baseline is the usual design: one Celery task a message, get_or_create, requests."""

import os

import django
import requests
from celery import Celery
from django.conf import settings
from django.utils import timezone

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailing_manager_project.settings")
django.setup()

from clients.models import Client  # noqa: E402  # after the setup
from mailings.models import Mailing  # noqa: E402
from messages_app.models import Message  # noqa: E402

app = Celery("usual", broker=settings.CELERY_BROKER_URL)
app.conf.task_default_queue = "usual"
app.conf.task_ignore_result = True


@app.task(name="send_one", set_as_current=False)
def send_one(mailing_id: int, client_id: int) -> None:
    """Send one message the way tutorials do."""
    mailing = Mailing.objects.get(pk=mailing_id)
    client = Client.objects.get(pk=client_id)
    message, _ = Message.objects.get_or_create(mailing=mailing, client=client)
    response = requests.post(
        f"{settings.MESSAGE_SENDER_URL}/send/{message.pk}",
        json={"id": message.pk, "phone": int(client.phone_number), "text": mailing.text},
        headers={"Authorization": f"Bearer {settings.MESSAGE_SENDER_TOKEN}"},
        timeout=10,
    )
    message.status = "success" if response.status_code == 200 else "fail"
    message.sent_at = timezone.now()
    message.save()
