"""The console kit as an application, for its templates and styles."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """What all pages of the operators' console share."""

    name = "toolkit.console"
    label = "console"
