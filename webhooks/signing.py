"""Secrets of webhooks, and signatures as Standard Webhooks 1.0.0 has them.

A secret is needed in clear to sign, so it is encrypted and not hashed; the key is made from
SECRET_KEY, which is not in the database. Former keys are those of SECRET_KEY_FALLBACKS.
"""

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Iterable

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

PREFIX = "whsec_"
LENGTH = 32  # bytes; the specification asks for 24 to 64


class SecretUnreadableError(ValueError):
    """A secret was encrypted with a SECRET_KEY that is not known any more."""


def new_secret() -> str:
    """Return a secret as its receiver is given it."""
    return PREFIX + b64encode(secrets.token_bytes(LENGTH)).decode()


def encrypt(secret: str) -> str:
    """Return a secret as it is stored."""
    return _cipher().encrypt(secret.encode()).decode()


def decrypt(stored: str) -> str:
    """Return a stored secret in clear.

    Raises:
        SecretUnreadableError: SECRET_KEY has changed, and the former one is not a fallback.
    """
    try:
        return _cipher().decrypt(stored.encode()).decode()
    except InvalidToken:
        raise SecretUnreadableError from None


def sign(secrets: Iterable[str], *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header webhook-signature: a signature with each secret, blanks between them."""
    content = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{_signature(secret, content)}" for secret in secrets)


def _signature(secret: str, content: bytes) -> str:
    key = b64decode(secret.removeprefix(PREFIX))
    return b64encode(hmac.digest(key, content, "sha256")).decode()


def _cipher() -> MultiFernet:
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return MultiFernet([Fernet(_key_from(str(key))) for key in keys])


def _key_from(secret_key: str) -> bytes:
    """Return a key of 32 bytes for this purpose and no other, in the form that Fernet wants."""
    return urlsafe_b64encode(hashlib.sha256(b"webhooks.secret:" + secret_key.encode()).digest())
