"""Events that nobody has passed on yet (docs/adr/0031-webhooks.md)."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models.functions import Now

from toolkit.dropping import drop


class EventQuerySet(models.QuerySet["Event"]):
    """Events, as phrases."""

    def record(self, name: str, data: Iterable[Mapping[str, Any]]) -> None:
        """Write events of one name, one for each of `data`, which is JSON.

        Call it in the transaction that makes what the events tell of: both are committed, or none.
        """
        self.bulk_create(Event(name=name, data=dict(each)) for each in data)

    def take(self, number: int) -> list["Event"]:
        """Return the oldest events that nobody else is taking, locked until the transaction ends.

        The caller passes them on and deletes them in this transaction. One that is committed late
        is simply found later: there is no position that could have gone past it.
        """
        return list(self.order_by("pk").select_for_update(skip_locked=True)[:number])

    def drop_old(self, *, before: datetime) -> None:
        """Drop, in short steps, what nobody has passed on since a time."""
        drop(self.filter(at__lt=before).order_by("at"))


class Event(models.Model):
    """Something that happened. The row is deleted by whoever passes it on."""

    name = models.CharField(max_length=64)
    data = models.JSONField()
    at = models.DateTimeField(db_default=Now(), help_text="By the database's clock.")

    objects = EventQuerySet.as_manager()

    class Meta:
        indexes = (models.Index(fields=("at",), name="outbox_event_age_idx"),)

    def __str__(self) -> str:
        return f"{self.name} {self.pk}"
