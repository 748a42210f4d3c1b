"""Names of time zones: those of the IANA database, from the system or the tzdata package."""

from functools import cache
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError


@cache
def names() -> frozenset[str]:
    """Return all names; they are read from disk once."""
    # On Debian "localtime" is the machine's own zone. Other machines do not have it.
    return frozenset(available_timezones()) - {"localtime"}


@cache
def choices() -> list[tuple[str, str]]:
    """Return what one chooses from: (name, as it is shown), of places, and UTC."""
    places = {name for name in names() if "/" in name and not name.startswith("Etc/")}
    return [(name, name.replace("_", " ")) for name in sorted(places | {"UTC"})]


def validate(name: str) -> None:
    """Refuse a name that no time zone has.

    Raises:
        ValidationError: with an example of a name.
    """
    if name not in names():
        raise ValidationError(
            "There is no time zone of this name; write one such as Europe/Moscow.",
            code="invalid_time_zone",
        )
