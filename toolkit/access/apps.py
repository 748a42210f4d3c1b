"""Access as a Django app, because what a token may do is kept in a table."""

from django.apps import AppConfig


class AccessConfig(AppConfig):
    """The app of tokens and logins."""

    name = "toolkit.access"
    label = "access"

    def ready(self) -> None:
        """Have logins and logouts logged, and sessions begin with what limits them."""
        # Models are loaded only now.
        from knox.models import AuthToken

        from toolkit.access.logins import log_logins
        from toolkit.access.notices import note_changes
        from toolkit.access.sessions import begin_sessions

        # Else it is called by a hash of the secret, wherever it is named.
        AuthToken.add_to_class("__str__", lambda token: f"Token {token.token_key}…")
        log_logins()
        begin_sessions()
        note_changes()
