"""What is kept of tokens beside knox's rows, and of users beside Django's.

A token without such a row was made before there were scopes: it may do what its user may. A user
without preferences has the browser's language and time zone.
"""

from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from knox.models import AuthToken

from toolkit import time_zones

# How exactly the last use is known. No request writes unless the last that did was so long ago.
EXACTNESS = timedelta(minutes=1)


class Scope(models.TextChoices):
    """What a token may do at most; its user's permissions limit it, too."""

    READ = "read", _("read: see what its user may see")
    OPERATE = "operate", _("operate: do what its user may do")


class GrantQuerySet(models.QuerySet["Grant"]):
    """Grants, as phrases."""

    def note_use(self, token: AuthToken, *, now: datetime) -> None:
        """Note that a token was used, unless that is known already to the minute."""
        grant = grant_of(token)
        if grant is None:
            self.bulk_create([Grant(token=token, last_used_at=now)], ignore_conflicts=True)
            return
        before = now - EXACTNESS
        if grant.last_used_at is None or grant.last_used_at < before:
            stale = Q(last_used_at=None) | Q(last_used_at__lt=before)
            self.filter(stale, pk=grant.pk).update(last_used_at=now)


class Grant(models.Model):
    """What one token is for."""

    # Without a constraint: a version that knows no grants deletes tokens beside this one while an
    # update goes on. A digest is never there twice, so what it leaves behind is nobody's.
    token = models.OneToOneField(
        AuthToken, models.CASCADE, primary_key=True, related_name="grant", db_constraint=False
    )
    name = models.CharField(max_length=100, blank=True, help_text="Which program uses it.")
    scope = models.CharField(max_length=10, choices=Scope, default=Scope.OPERATE)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = GrantQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.name or 'A token'} ({self.scope})"


class FirstPassword(models.Model):
    """Whose password was made for them, and has to be changed at the first login."""

    # Without a constraint, as above.
    user = models.OneToOneField(
        User, models.CASCADE, primary_key=True, related_name="first_password", db_constraint=False
    )

    def __str__(self) -> str:
        return f"The first password of {self.user}"


class Preferences(models.Model):
    """How a user has the console, and where messages go with which they try something out."""

    # Without a constraint, as above.
    user = models.OneToOneField(
        User, models.CASCADE, primary_key=True, related_name="preferences", db_constraint=False
    )
    # Empty: what the browser asks for. Not `choices`: a language more is no change of the table.
    language = models.CharField(max_length=10, blank=True)
    timezone = models.CharField(max_length=64, blank=True, validators=[time_zones.validate])
    # Digits; whoever asks a user for the number brings it into this form.
    phone_number = models.CharField(
        max_length=15,
        blank=True,
        validators=[
            RegexValidator(
                r"^[1-9][0-9]{6,14}\Z", "Write the digits only, with those of the country."
            )
        ],
    )

    def __str__(self) -> str:
        return f"Preferences of {self.user}"


class CompanyAccount(models.Model):
    """As whom a user logs in at the company's provider. Who has one uses no password here."""

    # Without a constraint, as above.
    user = models.OneToOneField(
        User, models.CASCADE, primary_key=True, related_name="company_account", db_constraint=False
    )
    issuer = models.CharField(max_length=255)
    subject = models.CharField(max_length=255)  # what the provider never gives to anybody else
    # When they last came in; None: never, or the provider has taken the right to since.
    seen_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=("issuer", "subject"), name="access_company_account_once"
            ),
        )

    def __str__(self) -> str:
        return f"The company's account of {self.user}"


class SecondFactor(models.Model):
    """From what a user's phone makes the codes that they are asked for beside their password."""

    # Without a constraint, as above.
    user = models.OneToOneField(
        User, models.CASCADE, primary_key=True, related_name="second_factor", db_constraint=False
    )
    secret = models.TextField(help_text="Encrypted (see `factors`).")
    last_step = models.BigIntegerField(help_text="The half-minute of the last code that was taken.")
    made_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"The second factor of {self.user}"


class BackupCode(models.Model):
    """One of the codes for the day on which the phone is not there. A login uses it up."""

    # Without a constraint, as above.
    user = models.ForeignKey(User, models.CASCADE, related_name="backup_codes", db_constraint=False)
    digest = models.CharField(max_length=64)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"A backup code of {self.user}"


class Notice(models.Model):
    """Something that happened to a user's account, of which they are told by mail."""

    class What(models.TextChoices):
        """What happened."""

        PASSWORD = "password"
        TOKEN_MADE = "token_made"
        TOKEN_REVOKED = "token_revoked"
        LOCKED_OUT = "locked_out"
        FACTOR_SET_UP = "factor_set_up"
        FACTOR_REMOVED = "factor_removed"
        BACKUP_CODE = "backup_code"

    # Without a constraint, as above.
    user = models.ForeignKey(User, models.CASCADE, related_name="notices", db_constraint=False)
    what = models.CharField(max_length=20, choices=What)
    about = models.CharField(max_length=100, blank=True)  # how the token begins; an address
    at = models.DateTimeField(default=timezone.now)
    is_told = models.BooleanField(default=False, db_default=False)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.what} of {self.user}"


def preferences_of(user: User) -> Preferences:
    """Return a user's preferences; empty ones, which are not stored, if they never chose any."""
    return Preferences.objects.filter(pk=user.pk).first() or Preferences(user=user)


def grant_of(token: AuthToken) -> Grant | None:
    """Return what is known of a token; None of one that was made before there were scopes."""
    grant: Grant | None = getattr(token, "grant", None)
    return grant


def may_only_read(token: object) -> bool:
    """Tell whether somebody came with a token that may only see; sessions have no token."""
    grant = grant_of(token) if isinstance(token, AuthToken) else None
    return grant is not None and grant.scope != Scope.OPERATE
