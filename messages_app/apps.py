"""Messages: one text on its way to one client."""

from django.apps import AppConfig


class MessagesConfig(AppConfig):
    """The messages app."""

    name = "messages_app"
    verbose_name = "Messages"
