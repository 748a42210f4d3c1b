"""Access as a Django app, because what a token may do is kept in a table."""

from django.apps import AppConfig


class AccessConfig(AppConfig):
    """The app of tokens and logins."""

    name = "toolkit.access"
    label = "access"

    def ready(self) -> None:
        """Have logins and logouts logged."""
        from toolkit.access.logins import log_logins  # models are loaded only now

        log_logins()
