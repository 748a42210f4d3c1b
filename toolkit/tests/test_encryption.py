"""What is encrypted is read with the key of now or of before, and for its own purpose only."""

from typing import Any

import pytest

from toolkit.encryption import Cipher, UnreadableError

cipher = Cipher("a test")


def test_what_is_stored_says_nothing_and_can_be_read() -> None:
    stored = cipher.encrypt(b"secret")

    assert b"secret" not in stored
    assert cipher.encrypt(b"secret") != stored
    assert cipher.decrypt(stored) == b"secret"


def test_a_former_key_still_reads_and_another_one_does_not(settings: Any) -> None:
    stored, former = cipher.encrypt(b"secret"), settings.SECRET_KEY
    settings.SECRET_KEY = "another"

    with pytest.raises(UnreadableError):
        cipher.decrypt(stored)
    settings.SECRET_KEY_FALLBACKS = [former]
    assert cipher.decrypt(stored) == b"secret"


def test_another_purpose_cannot_read_it() -> None:
    with pytest.raises(UnreadableError):
        Cipher("another test").decrypt(cipher.encrypt(b"secret"))
