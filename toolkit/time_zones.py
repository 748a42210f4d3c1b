"""Time zones: the names of the IANA database, as the tzdata package or the system has them."""

from functools import cache
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError


@cache
def names() -> frozenset[str]:
    """Return all names; they are read from disk once."""
    # Debian keeps the machine's own zone among them; elsewhere the name means nothing.
    return frozenset(available_timezones()) - {"localtime"}


def validate(name: str) -> None:
    """Refuse what is not the name of a time zone.

    Raises:
        ValidationError: with a sentence that says what may stand there.
    """
    if name not in names():
        raise ValidationError(
            "There is no time zone of this name; write one such as Europe/Moscow.",
            code="invalid_time_zone",
        )
