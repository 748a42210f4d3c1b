"""History as a Django app, because its entries are kept in a table."""

from django.apps import AppConfig, apps
from django.conf import settings


class HistoryConfig(AppConfig):
    """The app of history."""

    name = "toolkit.history"
    label = "history"

    def ready(self) -> None:
        """Watch the models of other packages that the settings name."""
        # Here, because it needs models, which there are none of when this module is imported.
        from toolkit.history.watching import Watch

        for label, ignored in settings.HISTORY_WATCHED.items():
            Watch(apps.get_model(label), ignored=ignored)
