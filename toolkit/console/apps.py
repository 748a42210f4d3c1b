"""The console kit as a Django app, so that its templates and styles are found."""

from django.apps import AppConfig

from toolkit.console.names import translate_names

# Now, because models are defined, and forms made of them, before any app is ready.
translate_names()


class ConsoleConfig(AppConfig):
    """The app of the console kit."""

    name = "toolkit.console"
    label = "console"
