"""Messages: one text on its way to one client."""

from django.apps import AppConfig


class MessagesConfig(AppConfig):
    """The room of the messages and of the engine that delivers them."""

    name = "messages_app"
    verbose_name = "Messages"
