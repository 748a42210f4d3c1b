"""Whether sending works: what the breaker lets through, and which components are alive."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from messages_app.models import Heartbeat, SendingControl
from toolkit import clock

# Those that leave a heartbeat, and what they do in a word.
COMPONENTS = {
    "beat": _("The clock"),
    "start_mailing": _("Planning"),
    "send_message": _("Sending"),
}
# The slowest component leaves one every minute, and two may be missed while it restarts.
MISSING_AFTER = timedelta(minutes=3)


class BreakerState(models.TextChoices):
    """What the breaker lets through."""

    CLOSED = "closed", _("Messages are sent")
    OPEN = "open", _("Nothing is sent until the next probe, or a probe is under way")
    PROBING = "probing", _("The next due message is the probe; if it is taken, the breaker closes")


class ComponentHealth(NamedTuple):
    """When a component left its last heartbeat, and how long ago; None means never."""

    name: str
    at: datetime | None
    age: timedelta | None

    @property
    def title(self) -> str:
        """What it does, in a word."""
        return str(COMPONENTS[self.name])

    @property
    def seconds(self) -> float | None:
        """How long ago, in seconds."""
        return None if self.age is None else self.age.total_seconds()

    @property
    def is_missing(self) -> bool:
        """Whether it was alive once, and left no heartbeat for MISSING_AFTER."""
        return self.age is not None and self.age >= MISSING_AFTER


def breaker(control: SendingControl, now: datetime) -> BreakerState:
    """Return what the breaker lets through now."""
    if not control.opened_at:
        return BreakerState.CLOSED
    return (
        BreakerState.OPEN if control.probe_at and control.probe_at > now else BreakerState.PROBING
    )


def read_control() -> tuple[SendingControl, datetime]:
    """Return the row of sending control and the database's time, in UTC.

    They are read with one query, because every page of the console needs them.
    """
    row: Any = SendingControl.objects.filter(pk=1).annotate(now=Now()).first()  # with its `now`
    return (row, row.now) if row else (SendingControl.objects.current(), clock.now())


def component_health(now: datetime) -> list[ComponentHealth]:
    """Return the health of each of COMPONENTS, in their order."""
    seen = dict(Heartbeat.objects.values_list("name", "at"))
    return [_health(name, seen.get(name), now) for name in COMPONENTS]


def _health(name: str, at: datetime | None, now: datetime) -> ComponentHealth:
    return ComponentHealth(name, at, max(now - at, timedelta()) if at else None)
