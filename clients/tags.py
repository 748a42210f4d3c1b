"""Tags: any words to select clients by."""

import unicodedata

from django.core.exceptions import ValidationError

MAX_LENGTH = 64  # characters
# Control characters and halves of surrogate pairs; what joins an emoji is welcome.
UNWRITABLE = ("Cc", "Cs")


def validate(tag: str) -> None:
    """Refuse what is too long, or nobody can write or read.

    Raises:
        ValidationError: with a sentence that says what may stand there.
    """
    if len(tag) > MAX_LENGTH or any(_is_unwritable(character) for character in tag):
        raise ValidationError(
            f"Write up to {MAX_LENGTH} characters that can be read.", code="invalid_tag"
        )


def _is_unwritable(character: str) -> bool:
    return unicodedata.category(character) in UNWRITABLE and not character.isspace()
