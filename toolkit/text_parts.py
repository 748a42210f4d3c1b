"""The parts of a text message: its alphabet, and how many messages a phone network makes of it.

The rules are those of 3GPP TS 23.038 (the alphabets, once GSM 03.38) and TS 23.040 (parts): 160
septets or 70 UTF-16 units fit into one message; of several parts each carries a header, which
leaves 153 or 67. What takes two places is never divided between two parts.
"""

from collections.abc import Iterable
from typing import NamedTuple

from gsm0338 import Codec

GSM_7, UCS_2 = "GSM-7", "UCS-2"
ALONE = {GSM_7: 160, UCS_2: 70}
IN_PARTS = {GSM_7: 153, UCS_2: 67}
ESCAPE = "\x1b"  # in front of what is in the extension table; no character by itself
NAMED = 100  # characters that force UCS-2 and are named, at most

_codec = Codec()


class TextParts(NamedTuple):
    """What a text comes to. `units` are septets in GSM-7 and 16 bits each in UCS-2.

    `forcing` are the characters that GSM-7 does not have, each once, in the order of the text; of
    more than NAMED the first ones. `parts_without` is how many parts there would be without them.
    """

    encoding: str
    characters: int
    units: int
    parts: int
    forcing: tuple[str, ...]
    parts_without: int


def text_parts(text: str) -> TextParts:
    """Return the alphabet, length and parts of a text."""
    septets = [_septets(character) for character in text]
    forcing = [each for each, size in zip(text, septets, strict=True) if not size]
    sizes = [_utf16_units(character) for character in text] if forcing else septets
    encoding = UCS_2 if forcing else GSM_7
    return TextParts(
        encoding,
        len(text),
        sum(sizes),
        _count_parts(sizes, encoding),
        tuple(dict.fromkeys(forcing))[:NAMED],
        _count_parts((size or 1 for size in septets), GSM_7),
    )


def _septets(character: str) -> int:
    """Return how many septets a character takes in GSM-7: one or two; 0 where it has none."""
    if character == ESCAPE:
        return 0
    try:
        return len(_codec.encode(character)[0])
    except UnicodeEncodeError:
        return 0


def _utf16_units(character: str) -> int:
    return 2 if ord(character) > 0xFFFF else 1


def _count_parts(sizes: Iterable[int], encoding: str) -> int:
    """Return how many parts characters of these sizes fill, in their order."""
    sizes = list(sizes)
    if sum(sizes) <= ALONE[encoding]:
        return 1
    parts, room = 1, IN_PARTS[encoding]
    for size in sizes:
        if size > room:
            parts, room = parts + 1, IN_PARTS[encoding]
        room -= size
    return parts
