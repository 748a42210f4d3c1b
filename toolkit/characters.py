"""Characters that are no part of what people write, and would mislead whoever reads it."""

import unicodedata

# Unicode categories: control characters and surrogates. Cf is allowed, since it joins emoji.
UNWRITABLE = ("Cc", "Cs")
# They make what follows look written in another order, so that a tag passes for another one.
DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_unwritable(character: str) -> bool:
    """Tell whether it is a control character, such as a line break, or half a character."""
    return unicodedata.category(character) in UNWRITABLE
