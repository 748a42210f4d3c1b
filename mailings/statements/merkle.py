"""The Merkle tree of RFC 6962: a leaf is hashed after a 0, two nodes after a 1.

Its root is that of pairs, pairs of pairs and so on, where a last one without a partner is handed
up as it is. So the root of a tree is also the root of the roots of its parts, if all parts but the
last have the same number of leaves, which is a power of two.
"""

from collections.abc import Sequence
from hashlib import sha256


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(b"\0" + data).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """Return the root of nodes of one level; of none the hash of nothing."""
    if not hashes:
        return sha256().digest()
    while len(hashes) > 1:
        hashes = _above(hashes)
    return hashes[0]


def path(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Return the nodes with which the root is reached from one of a level, the lowest first."""
    found = []
    while len(hashes) > 1:
        partner = index ^ 1
        if partner < len(hashes):
            found.append(hashes[partner])
        hashes, index = _above(hashes), index // 2
    return found


def _above(hashes: Sequence[bytes]) -> list[bytes]:
    """Return the level above one."""
    pairs = zip(hashes[::2], hashes[1::2], strict=False)  # the last one may have no partner
    above = [sha256(b"\1" + left + right).digest() for left, right in pairs]
    return [*above, hashes[-1]] if len(hashes) % 2 else above
