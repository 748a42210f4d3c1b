"""Secrets of webhooks, and signatures as Standard Webhooks 1.0.0 has them.

A secret is needed in clear to sign, so it is encrypted and not hashed.
"""

import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable

from toolkit.encryption import Cipher

PREFIX = "whsec_"
LENGTH = 32  # bytes; the specification asks for 24 to 64

_cipher = Cipher("webhooks.secret")


def new_secret() -> str:
    """Return a secret as its receiver is given it."""
    return PREFIX + b64encode(secrets.token_bytes(LENGTH)).decode()


def encrypt(secret: str) -> str:
    """Return a secret as it is stored."""
    return _cipher.encrypt(secret.encode()).decode()


def decrypt(stored: str) -> str:
    """Return a stored secret in clear.

    Raises:
        UnreadableError: SECRET_KEY has changed, and the former one is not a fallback.
    """
    return _cipher.decrypt(stored.encode()).decode()


def sign(secrets: Iterable[str], *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header webhook-signature: a signature with each secret, blanks between them."""
    content = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{_signature(secret, content)}" for secret in secrets)


def _signature(secret: str, content: bytes) -> str:
    key = b64decode(secret.removeprefix(PREFIX))
    return b64encode(hmac.digest(key, content, "sha256")).decode()
