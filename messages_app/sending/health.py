"""Whether sending goes on: what holds it back, and which parts of the program are alive."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import models
from django.db.models.functions import Now

from messages_app.models import Brakes, Heartbeat
from toolkit import clock

PARTS = ("beat", "start_mailing", "send_message")  # those that leave signs of life
# The slowest shows one every minute; two may get lost while it restarts.
SILENCE = timedelta(minutes=3)


class Breaker(models.TextChoices):
    """What the breaker lets through."""

    CLOSED = "closed", "Messages are sent"
    OPEN = "open", "Nothing is sent until the next probe, or a probe is under way"
    PROBING = "probing", "The next due message is the probe; if it is taken, the breaker closes"


class SignOfLife(NamedTuple):
    """When a part of the program was last seen at work, and how long ago; None is never."""

    name: str
    at: datetime | None
    age: timedelta | None

    @property
    def seconds(self) -> float | None:
        """How long ago, in seconds."""
        return None if self.age is None else self.age.total_seconds()

    @property
    def is_missing(self) -> bool:
        """Whether the part was alive and is not any more."""
        return self.age is not None and self.age >= SILENCE


def breaker(brakes: Brakes, now: datetime) -> Breaker:
    """Return what the breaker lets through now."""
    if not brakes.opened_at:
        return Breaker.CLOSED
    return Breaker.OPEN if brakes.probe_at and brakes.probe_at > now else Breaker.PROBING


def read_brakes() -> tuple[Brakes, datetime]:
    """Return the brakes and the database's time, by one query: every page of the console asks."""
    brakes: Any = Brakes.objects.filter(pk=1).annotate(now=Now()).first()  # with its `now`
    return (brakes, brakes.now) if brakes else (Brakes(pk=1), clock.now())


def signs_of_life(now: datetime) -> list[SignOfLife]:
    """Return the last sign of life of each part."""
    seen = dict(Heartbeat.objects.values_list("name", "at"))
    return [_sign(name, seen.get(name), now) for name in PARTS]


def _sign(name: str, at: datetime | None, now: datetime) -> SignOfLife:
    return SignOfLife(name, at, max(now - at, timedelta()) if at else None)
