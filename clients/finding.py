"""Finding people by what somebody has at hand: a number, its last digits, an id, or a tag."""

from collections.abc import Iterator
from itertools import islice

from django.core.exceptions import ValidationError

from clients import phone_numbers
from clients.models import Client
from clients.querysets import ClientQuerySet
from toolkit import external_ids


def find_clients(text: str, *, most: int) -> list[Client]:
    """Return clients whom a text may mean, the likeliest first.

    That is by external id, and by number: whole, last digits, beginning.

    Each is a look at an index for a few rows, however many clients there are.
    """
    ways = [*_by_external_id(text.strip()), *_by_number(text)]
    found: dict[int, Client] = {}
    for way in ways:
        found |= {client.pk: client for client in way[:most] if client.pk not in found}
        if len(found) >= most:
            break
    return list(found.values())[:most]


def _by_external_id(text: str) -> list[ClientQuerySet]:
    try:
        external_ids.validate(text)
    except ValidationError:
        return []
    return [Client.objects.filter(external_id=text)]


def _by_number(text: str) -> list[ClientQuerySet]:
    try:
        digits, ends = phone_numbers.digits_of_part(text), phone_numbers.last_digits_of(text)
    except ValidationError:
        return []
    if not ends:
        return []
    return [
        Client.objects.filter(phone_number__in={digits, *ends}),
        *(Client.objects.with_last_digits(end) for end in ends),
        Client.objects.with_number_from(digits).order_by("phone_number"),
    ]


def find_tags(text: str, *, most: int) -> list[str]:
    """Return the first tags that begin with a text, as it is written."""
    values = islice(values_from("tag", text), most) if text else ()
    return [tag for tag in values if tag.startswith(text)]


def values_from(field: str, start: str) -> Iterator[str]:
    """Yield the distinct values of a field, sorted, from `start` on.

    Each value takes one look-up in the field's index, however many clients have it. DISTINCT would
    read all clients.
    """
    values = Client.objects.order_by(field).values_list(field, flat=True)
    value = values.filter(**{f"{field}__gte": start}).exclude(**{field: ""}).first()
    while value is not None:
        yield value
        value = values.filter(**{f"{field}__gt": value}).first()
