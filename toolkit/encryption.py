"""Secrets that have to be read again: encrypted where they are stored.

The key is made from SECRET_KEY, which is not in the database. What was encrypted with one of
SECRET_KEY_FALLBACKS can be read; how a key is exchanged is in docs/security.md.
"""

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class UnreadableError(ValueError):
    """Something was encrypted with a SECRET_KEY that is not known any more."""


@dataclass(frozen=True)
class Cipher:
    """Encrypts for one purpose: what is encrypted for another one it cannot read."""

    purpose: str

    def encrypt(self, secret: bytes) -> bytes:
        """Return a secret as it is stored."""
        return self._keys().encrypt(secret)

    def decrypt(self, stored: bytes) -> bytes:
        """Return a stored secret in clear.

        Raises:
            UnreadableError: SECRET_KEY has changed, and the former one is not a fallback.
        """
        try:
            return self._keys().decrypt(stored)
        except InvalidToken:
            raise UnreadableError from None

    def _keys(self) -> MultiFernet:
        keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        return MultiFernet([Fernet(self._key_from(str(key))) for key in keys])

    def _key_from(self, secret_key: str) -> bytes:
        """Return a key of 32 bytes in the form that Fernet wants."""
        text = f"{self.purpose}:{secret_key}".encode()
        return urlsafe_b64encode(hashlib.sha256(text).digest())
