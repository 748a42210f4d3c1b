"""Authentication of REST requests by token."""

from typing import Any

from knox.auth import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed


class StrictTokenAuthentication(TokenAuthentication):
    """Knox's tokens; texts that cannot be tokens are refused without a query."""

    def authenticate_credentials(self, token: bytes) -> Any:
        """Return the user and the token.

        Raises:
            AuthenticationFailed: there is no such token, or its user is inactive.
        """
        if not token.isalnum():
            raise AuthenticationFailed("Invalid token.")
        return super().authenticate_credentials(token)
