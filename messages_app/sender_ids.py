"""The id by which the sender knows a message (docs/adr/0015-sender-ids.md).

It is made from a random number of the mailing and the number that the message goes to. Whatever is
restored, fails over or is planned again: one number of one mailing has one id, and no two have the
same.
"""

from functools import lru_cache
from hashlib import blake2b

STAND_IN = "#"  # begins what stands where a number was
# The id in letters: digits would be found by who looks for numbers.
LETTERS = str.maketrans("0123456789", "abcdefghij")
DIGITS = str.maketrans("abcdefghij", "0123456789")
BITS = 63  # the contract has a signed 64-bit integer; ours are never negative


def sender_id(sender_key: int | None, *, message_id: int, phone_number: str) -> int:
    """Return the sender's id of a message, from 0 to 2**63 - 1.

    `sender_key` is its mailing's; None means that an earlier version made the mailing, whose
    messages are known by their own ids.
    """
    if phone_number.startswith(STAND_IN):
        return int(phone_number[1:].translate(DIGITS))
    if sender_key is None:
        return message_id
    hash_of_number = _keyed_hash(sender_key).copy()
    hash_of_number.update(phone_number.encode())
    return int.from_bytes(hash_of_number.digest(), "big") >> (64 - BITS)


def stand_in(sender_id: int) -> str:
    """Return what stands in place of a number that is forgotten: the id that was made of it."""
    return f"{STAND_IN}{sender_id}".translate(LETTERS)


@lru_cache(1024)
def _keyed_hash(sender_key: int) -> blake2b:
    """Return the hash of a mailing, to be copied for each number."""
    return blake2b(digest_size=8, key=sender_key.to_bytes(8, "big"))
