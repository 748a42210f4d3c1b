"""The outbox as a Django app, because events are kept in a table until they are passed on."""

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """The app of the outbox."""

    name = "toolkit.outbox"
