"""What is left to do until the first mailing goes out: a checklist on the console's first page."""

from typing import Any, NamedTuple

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from clients.models import Client
from mailings.admin.overview import overview
from mailings.models import Mailing
from messages_app.sending import health
from toolkit.history.models import Deed, Entry


class Step(NamedTuple):
    """One thing to do, and where."""

    title: str
    about: str
    link: str
    is_done: bool


def home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return the context of the first page."""
    return {**overview(request, context), "first_day": steps(request)}


def steps(request: HttpRequest) -> list[Step]:
    """Return what is to do before the first mailing; nothing once one was launched.

    Only for those who can do it, and read from the facts each time: nobody ticks anything off.
    """
    if not request.user.has_perms(("mailings.add_mailing", "clients.add_client")):
        return []
    # The oldest is enough: drafts come to an end, or are launched.
    if Mailing.objects.exclude(status=Mailing.Status.DRAFT).exists():
        return []
    write = reverse("admin:mailings_mailing_add")
    return [
        Step(
            _("Bring in your clients"),
            _("From a file, or one by one."),
            reverse("admin:clients_client_changelist"),
            Client.objects.exists(),
        ),
        Step(
            _("See that sending is ready"),
            _("The workers run, and nothing holds sending back."),
            reverse("admin:messages_app_sendingcontrol_changelist"),
            _is_ready(),
        ),
        Step(
            _("Send a test message to yourself"),
            _("Write a mailing, keep it as a draft, and try it with your own number."),
            write,
            Entry.objects.filter(kind="mailings", deed=Deed.TRIED).exists(),
        ),
        Step(
            _("Launch the first mailing"),
            _("You see beforehand how many it goes to."),
            write,
            False,
        ),
    ]


def _is_ready() -> bool:
    control, now = health.read_control()
    is_held = control.is_paused or health.breaker(control, now) != health.BreakerState.CLOSED
    parts = health.component_health(now)
    return not is_held and all(part.at and not part.is_missing for part in parts)
