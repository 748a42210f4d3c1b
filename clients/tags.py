"""Tags: any words to select clients by."""

import unicodedata

from django.core.exceptions import ValidationError

MAX_LENGTH = 64  # characters
# Unicode categories: control characters and surrogates. Cf is allowed, since it joins emoji.
UNWRITABLE = ("Cc", "Cs")


def validate(tag: str) -> None:
    """Refuse a tag that is too long or has unreadable characters.

    Raises:
        ValidationError: with a sentence that says what a tag may be.
    """
    if len(tag) > MAX_LENGTH or any(_is_unwritable(character) for character in tag):
        raise ValidationError(
            f"Write up to {MAX_LENGTH} characters that can be read.", code="invalid_tag"
        )


def _is_unwritable(character: str) -> bool:
    return unicodedata.category(character) in UNWRITABLE and not character.isspace()
