"""Counts that web processes share: Django's caches, with a count that is one round trip.

Django's own `incr` asks first whether there is such a key, and makes a client for each command,
which costs a request four times as much processor.
"""

from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from django.utils.functional import cached_property


class RedisCounts(RedisCache):
    """Counts of all web processes, in a Redis."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = Client

    def count(self, key: str, *, kept_for: int) -> int:
        """Count one under a key and return how many there are; it is forgotten after seconds."""
        client: Any = self._cache.get_client()
        name = self.make_and_validate_key(key)
        number: int = client.incr(name)
        if number == 1:
            client.expire(name, kept_for)
        return number


class Client(RedisCacheClient):
    """One client for all commands and threads; it takes connections from a pool."""

    @cached_property
    def _shared(self) -> Any:
        return super().get_client(write=True)

    def get_client(self, key: Any = None, *, write: bool = False) -> Any:
        """Return the client."""
        return self._shared


class ProcessCounts(LocMemCache):
    """Counts of this process alone."""

    def count(self, key: str, *, kept_for: int) -> int:
        """Count one under a key and return how many there are; it is forgotten after seconds."""
        self.add(key, 0, kept_for)
        return self.incr(key)
