"""Queries of clients."""

from typing import TYPE_CHECKING

from django.db import models

from clients.audience import Filters, matching

if TYPE_CHECKING:
    from clients.models import Client  # noqa: F401  # named in a string below


class ClientQuerySet(models.QuerySet["Client"]):
    """Clients, as phrases."""

    def matching(self, filters: Filters) -> "ClientQuerySet":
        """Keep the clients that a mailing's filters select."""
        return self.filter(matching(filters))
