"""External ids: by what another program knows a row of ours, in its own words."""

from django.core.exceptions import ValidationError

from toolkit.characters import DIRECTIONS, is_unwritable

MAX_LENGTH = 64  # characters


def validate(external_id: str) -> None:
    """Refuse an id that is too long, or has characters that cannot be read or turn others around.

    Raises:
        ValidationError: with a sentence that says what an id may be.
    """
    unreadable = any(is_unwritable(each) or each in DIRECTIONS for each in external_id)
    if unreadable or len(external_id) > MAX_LENGTH:
        raise ValidationError(
            f"Write up to {MAX_LENGTH} characters that can be read, on one line.",
            code="invalid_external_id",
        )
