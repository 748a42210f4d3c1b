"""Questions that can be asked of all clients."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from clients.models import Client  # noqa: F401  # named in a string below

# A mailing's filters: each key names a client's field, each value is one value or several.
Filters = Mapping[str, str | Sequence[str]]


def matching(filters: Filters, prefix: str = "") -> Q:
    """Return the condition that a client meets when a mailing's filters select it.

    Values of one key are alternatives, keys add up, no keys select everyone. `prefix` is the
    path to the client where the question is asked of something else ("client__").
    """
    # Never empty, because an empty condition vanishes from the other side of an "or".
    condition = Q(**{f"{prefix}pk__isnull": False})
    for field, value in filters.items():
        values = [value] if isinstance(value, str) else value
        condition &= Q(**{f"{prefix}{field}__in": values})
    return condition


class ClientQuerySet(models.QuerySet["Client"]):
    """Clients, as phrases."""

    def matching(self, filters: Filters) -> "ClientQuerySet":
        """Keep the clients that a mailing's filters select."""
        return self.filter(matching(filters))
