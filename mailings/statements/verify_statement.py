"""Verify a delivery statement of Mailing Manager, and what it proves of one message.

    python verify_statement.py FILE [KEY]

Needs Python 3.11 and the package `cryptography`, and nothing of Mailing Manager. FILE is the JSON
that was handed out; KEY is the public key as the letters and earlier statements have it. Exit code:
0 only if the statement is whole and genuine.
"""

import hashlib
import json
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def verify(text: str, key: str = "") -> list[str]:
    """Return what a statement says, in sentences.

    Raises:
        ValueError: it is not genuine, or does not prove what it claims; in words, why.
    """
    document = json.loads(text)
    said = document["statement"]
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if key and key != said["key"]:
        raise ValueError(f"it is signed with another key, {said['key']}")
    try:
        public = Ed25519PublicKey.from_public_bytes(b64decode(said["key"]))
        public.verify(b64decode(document["signature"]), canonical.encode())
    except InvalidSignature:
        raise ValueError("the signature is not that of what is written") from None
    numbers, tree = said["messages"], said["tree"]
    failed = sum(numbers["failed"].values())
    if (
        not numbers["success"] + failed + numbers["unconfirmed"]
        == numbers["audience"]
        == tree["size"]
    ):
        raise ValueError("its numbers do not add up")
    found = [
        f"Statement {said['number']} of mailing {said['mailing']['id']} at {said['made_at']}: "
        f"{numbers['audience']} messages, {numbers['success']} accepted by the sender, {failed} "
        f"failed, {numbers['unconfirmed']} of which nobody knows.",
        f"Root of the tree: {tree['root']}",
        f"Key: {said['key']}",
    ]
    return [*found, *_proven(document["proof"], tree)] if "proof" in document else found


def _proven(proof: dict[str, Any], tree: dict[str, Any]) -> list[str]:
    """Return what is proven of a message (RFC 9162, 2.1.3.2)."""
    node = hashlib.sha256(b"\0" + proof["leaf"].encode()).digest()
    place, last, path = proof["index"], tree["size"] - 1, list(map(bytes.fromhex, proof["path"]))
    while last:
        if place % 2 or place < last:  # otherwise it has no partner and is handed up as it is
            partner = path.pop(0) if path else b""
            pair = partner + node if place % 2 else node + partner
            node = hashlib.sha256(b"\1" + pair).digest()
        place, last = place // 2, last // 2
    if path or place or node.hex() != tree["root"]:
        raise ValueError("the message is not in the tree")
    said = json.loads(proof["leaf"])
    became = f"Message {said['message']}: {said['outcome']} {said['reason']}".strip()
    when = f", at {said['at']}" if said["at"] else ""
    found = [f"{became}, with text {said['text']}{when}."]
    if proof["phone_number"] and proof["sender_key"]:
        key = int(proof["sender_key"]).to_bytes(8, "big")
        made = hashlib.blake2b(proof["phone_number"].encode(), digest_size=8, key=key).digest()
        if int.from_bytes(made, "big") >> 1 != int(said["sender_id"]):
            raise ValueError("the message went to another number")
        found.append(
            f"It went to {proof['phone_number']}; the sender has it as {said['sender_id']}."
        )
    return found


def main(arguments: list[str]) -> int:
    """Verify a file; return the exit code."""
    if not 1 <= len(arguments) <= 2:
        sys.stderr.write(__doc__ or "")
        return 2
    path, *key = arguments
    try:
        sys.stdout.write("\n".join(verify(Path(path).read_text("utf-8"), *key)) + "\n")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        sys.stderr.write(f"NOT GENUINE: {error!s}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
