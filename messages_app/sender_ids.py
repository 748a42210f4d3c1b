"""The id by which the sender knows a message (docs/adr/0015-sender-ids.md).

It is made from a random number of the mailing and the number that the message goes to. Whatever is
restored, fails over or is planned again: one number of one mailing has one id, and no two have the
same.
"""

from hashlib import blake2b

BITS = 63  # the contract has a signed 64-bit integer; ours are never negative


def sender_id(sender_key: int | None, *, message_id: int, phone_number: str) -> int:
    """Return the sender's id of a message, from 0 to 2**63 - 1.

    `sender_key` is its mailing's; None means that an earlier version made the mailing, whose
    messages are known by their own ids.
    """
    if sender_key is None:
        return message_id
    key = sender_key.to_bytes(8, "big")
    digest = blake2b(phone_number.encode(), digest_size=8, key=key).digest()
    return int.from_bytes(digest, "big") >> (64 - BITS)
