"""What holds all sending back just now, read once for everything that a page says of it."""

from datetime import datetime
from typing import NamedTuple

from django.http import HttpRequest
from django.utils.translation import gettext as _

from messages_app.admin import labels
from messages_app.models import SendingControl
from messages_app.sending import health
from messages_app.sending.control import is_held_back
from messages_app.sending.health import ComponentHealth

KEPT = "mailing_manager.sending_now"  # the key in request.META


class SendingNow(NamedTuple):
    """Sending control, the signs of life, and the database's time when both were read."""

    control: SendingControl
    signs: list[ComponentHealth]
    now: datetime

    @property
    def troubles(self) -> list[str]:
        """A sentence for each thing that keeps messages from being sent."""
        return list(labels.troubles(self.control, self.signs, self.now))

    @property
    def hold(self) -> str:
        """In a short sentence why no mailing is sent; empty if that is not so."""
        if self.control.is_paused:
            return _("All sending is stopped.")
        if is_held_back(self.control, self.now):
            return _("This database is a copy that waits for its original.")
        if self.control.opened_at:
            return _("The sender takes no messages.")
        if any(sign.is_missing and sign.name == "send_message" for sign in self.signs):
            return _("Whatever sends messages shows no sign of life.")
        return ""


def sending_now(request: HttpRequest) -> SendingNow:
    """Return how sending goes; it is read once in a request."""
    found: SendingNow | None = request.META.get(KEPT)
    if found is None:
        found = request.META[KEPT] = look()
    return found


def look() -> SendingNow:
    """Read how sending goes."""
    control, now = health.read_control()
    return SendingNow(control, health.component_health(now), now)
