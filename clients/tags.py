"""Tags: any words to select clients by."""

from django.core.exceptions import ValidationError

from toolkit.characters import DIRECTIONS, is_unwritable

MAX_LENGTH = 64  # characters


def validate(tag: str) -> None:
    """Refuse a tag that is too long, or has characters that cannot be read or turn others around.

    Raises:
        ValidationError: with a sentence that says what a tag may be.
    """
    if len(tag) > MAX_LENGTH or any(is_unwritable(each) or each in DIRECTIONS for each in tag):
        raise ValidationError(
            f"Write up to {MAX_LENGTH} characters that can be read, on one line.",
            code="invalid_tag",
        )
