"""The app of webhooks."""

from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    """Webhooks: who is told what happens here."""

    name = "webhooks"
