"""The entries of history. Each is written once and never changed, but for erased numbers."""

from datetime import datetime, timedelta
from math import inf

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from toolkit.dropping import drop
from toolkit.history.actors import Door

# By how much the order of entries may differ from that of their times: no transaction runs so long.
DISORDER = timedelta(hours=1)


class Deed(models.TextChoices):
    """What was done. Its names are those of the console; REST has the values."""

    CREATED = "created", _("Created")
    CHANGED = "changed", _("Changed")
    DELETED = "deleted", _("Deleted")
    IMPORTED = "imported", _("Imported")
    APPROVED = "approved", _("Approved")
    LAUNCHED = "launched", _("Launched")
    UNDONE = "undone", _("Launch undone")
    STARTED = "started", _("Started")
    PAUSED = "paused", _("Paused")
    RESUMED = "resumed", _("Resumed")
    CANCELLED = "cancelled", _("Cancelled")
    FINISHED = "finished", _("Finished")
    RESENT = "resent", _("Sent again")
    CONFIRMED = "confirmed", _("Confirmed")
    WITHDRAWN = "withdrawn", _("Withdrawn")
    TRIED = "tried", _("Tried")
    ROTATED = "rotated", _("Secret replaced")
    RUN = "run", _("Run")
    ERASED = "erased", _("Erased")


class EntryQuerySet(models.QuerySet["Entry"]):
    """Entries, as phrases."""

    def of(self, name: str) -> "EntryQuerySet":
        """Keep those of one object, `mailings/12`; of a kind alone, those of deeds on many."""
        kind, _, key = name.partition("/")
        return self.filter(kind=kind, key=key)

    def since(self, moment: datetime) -> "EntryQuerySet":
        """Keep those from a moment on."""
        return self.filter(ids_since(moment), at__gte=moment)

    def until(self, moment: datetime) -> "EntryQuerySet":
        """Keep those before a moment."""
        return self.filter(ids_until(moment), at__lt=moment)

    def drop_old(self, *, before: datetime, ends_at: float = inf) -> None:
        """Drop entries from before a moment in short steps, until `ends_at` of `monotonic`."""
        drop(self.filter(at__lt=before).order_by("at"), ends_at=ends_at)


class Entry(models.Model):
    """One deed: who did what to what. Names are kept, so that it outlives those whom it is about.

    It has no foreign keys: neither a user nor an object that is deleted takes it along.
    """

    at = models.DateTimeField(default=timezone.now)
    door = models.CharField(max_length=8, choices=Door)
    user_id = models.BigIntegerField(null=True)
    username = models.CharField(max_length=150, default="")
    token = models.CharField(max_length=64, default="", help_text="The beginning of the token.")
    deed = models.CharField(max_length=32)
    kind = models.CharField(max_length=32)
    key = models.CharField(max_length=64, default="", help_text="Empty where it was done to many.")
    text = models.CharField(max_length=255, help_text="What the object was called then.")
    changes = models.JSONField(
        default=dict, encoder=DjangoJSONEncoder, help_text="{field: [before, after]}"
    )
    details = models.JSONField(
        default=dict, encoder=DjangoJSONEncoder, help_text="How many it was done to, and which."
    )

    objects = EntryQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name = "history entry"
        verbose_name_plural = "history"
        indexes = (
            models.Index(fields=("kind", "key", "-id"), name="history_object_idx"),
            models.Index(
                fields=("user_id", "-id"),
                condition=models.Q(user_id__isnull=False),
                name="history_user_idx",
            ),
            models.Index(
                fields=("token", "-id"),
                condition=~models.Q(("token", "")),
                name="history_token_idx",
            ),
            models.Index(fields=("kind", "-id"), name="history_kind_idx"),
            models.Index(fields=("deed", "-id"), name="history_deed_idx"),
            models.Index(fields=("at",), name="history_age_idx"),
        )

    def __str__(self) -> str:
        return f"{self.text}: {self.deed}"

    @property
    def object(self) -> str:
        """What it was done to, as it is asked for: `mailings/12`, or `clients` for many."""
        return f"{self.kind}/{self.key}" if self.key else self.kind


def ids_since(moment: datetime) -> models.Q:
    """Return a condition on ids that all entries from a moment on meet, and few earlier ones."""
    earlier = Entry.objects.filter(at__lt=moment - DISORDER).order_by("-at")
    last = earlier.values_list("pk", flat=True).first()
    return models.Q(pk__gt=last or 0)


def ids_until(moment: datetime) -> models.Q:
    """Return a condition on ids that all entries before a moment meet, and few later ones."""
    later = Entry.objects.filter(at__gt=moment + DISORDER).order_by("at")
    first = later.values_list("pk", flat=True).first()
    return models.Q() if first is None else models.Q(pk__lt=first)
