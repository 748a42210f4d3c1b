"""The console kit as a Django app, so that its templates and styles are found."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The app of the console kit."""

    name = "toolkit.console"
    label = "console"
