"""The key that statements are signed with: one of all hosts, in the database.

It is encrypted with SECRET_KEY, so a copy of the database signs nothing.
"""

import logging
from base64 import b64encode
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mailings.models import StatementKey
from toolkit.encryption import Cipher, UnreadableError

CIPHER = Cipher("statements")

logger = logging.getLogger(__name__)


def signing_key(*, now: datetime) -> Ed25519PrivateKey:
    """Return the key; it is made where there is none, or where SECRET_KEY was changed and lost."""
    stored = StatementKey.objects.filter(pk=1).first()
    if stored is None:
        fresh = CIPHER.encrypt(Ed25519PrivateKey.generate().private_bytes_raw())
        StatementKey.objects.bulk_create(
            [StatementKey(pk=1, private=fresh, made_at=now)], ignore_conflicts=True
        )
        stored = StatementKey.objects.get(pk=1)  # that of whoever was first
    try:
        return Ed25519PrivateKey.from_private_bytes(CIPHER.decrypt(bytes(stored.private)))
    except UnreadableError:
        logger.error(
            "SECRET_KEY was changed: statements are signed with a new key from now on. Those of "
            "before stay genuine, by the key of before."
        )
        StatementKey.objects.filter(private=stored.private).delete()
        return signing_key(now=now)


def renew_key() -> bool:
    """Encrypt the key with the present SECRET_KEY; tell whether it could be read."""
    stored = StatementKey.objects.filter(pk=1).first()
    if stored is None:
        return True
    try:
        stored.private = CIPHER.encrypt(CIPHER.decrypt(bytes(stored.private)))
    except UnreadableError:
        return False
    stored.save(update_fields=["private"])
    return True


def public_key(key: Ed25519PrivateKey) -> str:
    """Return what a signature is verified with, as a statement has it."""
    return b64encode(key.public_key().public_bytes_raw()).decode()
