"""Who is told by e-mail what was sent, and which letters were written to them."""

import secrets
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from toolkit import time_zones

GIVEN_UP = timedelta(days=3)  # after which a letter that no mail server takes is not tried again
CAUGHT_UP = timedelta(days=7)  # days that are told of after an outage, at most


def new_token() -> str:
    """Return what tells a letter from all others."""
    return secrets.token_hex(16)


class Recipient(models.Model):
    """Somebody who gets reports, in their own language and time zone."""

    address = models.EmailField(_("e-mail address"), unique=True)
    # Not `choices`: a language more is no change of the table.
    language = models.CharField(_("language"), max_length=10, default=settings.LANGUAGE_CODE)
    timezone = models.CharField(
        _("time zone"), max_length=64, default="UTC", validators=[time_zones.validate]
    )
    is_daily = models.BooleanField(_("every day"), default=True, db_default=True)
    # Off where REPORT_RECIPIENTS has an address: there may be thousands of mailings a day.
    is_told_of_ends = models.BooleanField(
        _("at the end of each mailing"), default=False, db_default=False
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """By address."""

        ordering = ("address",)
        verbose_name = _("recipient of reports")
        verbose_name_plural = _("recipients of reports")

    def __str__(self) -> str:
        return self.address

    @property
    def zone(self) -> ZoneInfo:
        """The time zone whose days and hours they count by."""
        return ZoneInfo(self.timezone)

    def clean(self) -> None:
        """Write the address in one way, so that nobody is told twice."""
        self.address = self.address.lower()

    def wants(self, kind: str) -> bool:
        """Tell whether they get letters of a kind."""
        return self.is_daily if kind == Letter.Kind.DAILY else self.is_told_of_ends

    def newest_day(self, now: datetime) -> date:
        """Return the last day that they are to be told of by now: at REPORT_TIME of the next."""
        local = now.astimezone(self.zone)
        is_time = local.time() >= settings.REPORT_TIME
        return local.date() - timedelta(days=1 if is_time else 2)


class LetterQuerySet(models.QuerySet["Letter"]):
    """Letters, as phrases."""

    def due(self, now: datetime) -> "LetterQuerySet":
        """Keep those that are to be sent now; given up are those that no server has taken."""
        return self.filter(sent_at=None, next_attempt_at__lte=now, made_at__gt=now - GIVEN_UP)

    def last_day(self, address: str) -> date | None:
        """Return the last day of which a daily letter to an address was made."""
        days = self.filter(address=address, kind=Letter.Kind.DAILY).order_by("-about")
        last = days.values_list("about", flat=True).first()
        return date.fromisoformat(last) if last else None


class Letter(models.Model):
    """One letter to one address, made before it is sent: the row says that it is, and once only."""

    class Kind(models.TextChoices):
        """What it tells of, and what `about` is."""

        DAILY = "daily"  # a day, as in 2026-11-30
        ENDING = "ending"  # the id of a statement

    address = models.EmailField()
    kind = models.CharField(max_length=16, choices=Kind)
    about = models.CharField(max_length=32)
    # In the Message-ID: who gets a letter twice, for we could not note that it was sent, sees one.
    token = models.CharField(max_length=32, default=new_token)
    made_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=255, default="", help_text="Why it could not be sent.")

    objects = LetterQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=("address", "kind", "about"), name="letter_once"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.about} to {self.address}"
