"""The rows by which workers coordinate: doorbells, leases, control, heartbeats, home."""

from django.core.validators import MinValueValidator
from django.db import models

from messages_app.querysets import (
    DoorbellQuerySet,
    HeartbeatQuerySet,
    LeaseQuerySet,
    LineQuerySet,
    SendingControlQuerySet,
)


class Doorbell(models.Model):
    """A send_message task that is queued or running.

    Each of a mailing's lanes has at most one, so that repeated ticks do not queue more and more
    tasks. Once it has expired, its task is taken for lost and another one may be queued.
    """

    mailing = models.ForeignKey(
        "mailings.Mailing", models.CASCADE, related_name="doorbells", db_index=False
    )
    lane = models.PositiveSmallIntegerField()
    expires_at = models.DateTimeField()
    is_answered = models.BooleanField(
        default=False, db_default=False, help_text="A delivery is serving it."
    )

    objects = DoorbellQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("mailing", "lane"), name="doorbell_once_per_lane"),
        )

    def __str__(self) -> str:
        return f"Doorbell {self.lane} of mailing {self.mailing_id}"


class Lease(models.Model):
    """The lease of one delivery on the messages that have its token as their `lease_token`.

    It is deleted when the delivery ends. One that exists after `expires_at` belongs to a worker
    that died or stands still, and is reclaimed (`engine.recovery`).
    """

    token = models.BigIntegerField(primary_key=True)
    mailing = models.ForeignKey(
        "mailings.Mailing", models.CASCADE, related_name="leases", db_index=False
    )
    expires_at = models.DateTimeField()

    objects = LeaseQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Lease {self.token} on messages of mailing {self.mailing_id}"


class LeasedBatch(models.Model):
    """The messages that one claim has leased, so that reclaiming a lease need not look for them."""

    token = models.BigIntegerField()  # of the lease, which it may outlive by a moment
    message_ids = models.BinaryField(help_text="8 bytes each, as in Posting.message_ids.")

    class Meta:
        indexes = (models.Index(fields=("token",), name="leased_batch_token_idx"),)

    def __str__(self) -> str:
        return f"A batch of lease {self.token}"


class Line(models.Model):
    """How far the messages of a mailing that stand in line were claimed (see `waiting`).

    A mailing without a row is at the beginning.
    """

    mailing = models.OneToOneField(
        "mailings.Mailing", models.CASCADE, primary_key=True, related_name="line"
    )
    passed = models.BigIntegerField(default=0, help_text="Id of the last client claimed.")
    is_empty = models.BooleanField(default=False, help_text="Nobody stood in line at last.")

    objects = LineQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Line of mailing {self.mailing_id}"


class SendingControl(models.Model):
    """What limits all workers together: the operator's pause, the rate and the breaker. One row.

    While `opened_at` is set, the breaker is open: nothing is sent except a probe now and then.
    Until `held_until` nothing is sent, because another database's workers are at work, of which
    this one is a copy (`sending.home`).
    """

    is_paused = models.BooleanField(
        "paused", default=False, help_text="Nothing is sent until this is taken back."
    )
    # Who paused it, since when and why; empty while it is not paused.
    paused_by = models.CharField(max_length=150, default="", db_default="", editable=False)
    paused_at = models.DateTimeField(null=True, editable=False)
    pause_reason = models.CharField(
        max_length=200, default="", db_default="", blank=True, help_text="Why nothing is sent."
    )
    rate = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.01)],
        help_text="Messages a second over all workers together; empty: no limit.",
    )
    # The first moment that no message has reserved for its request (see control.reserve_slots).
    next_slot_at = models.DateTimeField(null=True, editable=False, db_column="free_at")
    failures = models.PositiveIntegerField(
        default=0, editable=False, help_text="Failed attempts in a row."
    )
    rejections = models.PositiveIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="Messages rejected since the last one that was accepted.",
    )
    opened_at = models.DateTimeField(
        null=True, editable=False, help_text="Since when the breaker is open."
    )
    reason = models.CharField(
        max_length=255, default="", editable=False, help_text="What opened the breaker."
    )
    probe_at = models.DateTimeField(
        null=True, editable=False, help_text="When one message is tried again."
    )
    probe_interval = models.FloatField(
        default=0, editable=False, help_text="Seconds between the last probe and the next."
    )

    held_until = models.DateTimeField(null=True, editable=False)

    objects = SendingControlQuerySet.as_manager()

    class Meta:
        """There is one sender, and thus one row."""

        db_table = "messages_app_brakes"  # its name when it was made
        verbose_name = verbose_name_plural = "sender"
        constraints = (
            models.CheckConstraint(condition=models.Q(pk=1), name="brakes_are_one_row"),
            models.CheckConstraint(
                condition=models.Q(rate=None) | models.Q(rate__gt=0), name="brakes_rate_is_positive"
            ),
        )

    def __str__(self) -> str:
        return "Pause, rate and breaker"


class Heartbeat(models.Model):
    """When a component was last seen at work: beat, or the workers of a queue."""

    name = models.CharField(max_length=32, primary_key=True)
    at = models.DateTimeField()
    # The same moment, written only by code that keeps the ledger. Where `at` differs, the last
    # heartbeat was that of an earlier version, and `former_at` remembers it.
    own_at = models.DateTimeField(null=True)
    former_at = models.DateTimeField(null=True)

    objects = HeartbeatQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Heartbeat of {self.name}"


class Home(models.Model):
    """Where this database lives, as its own workers found it last. One row.

    `former` is where it lived before: it is a copy of that database, or was restored. Empty: it
    has always lived here.
    """

    fingerprint = models.CharField(max_length=255)
    former = models.CharField(max_length=255, default="")
    since = models.DateTimeField()

    class Meta:
        """One database, one row."""

        constraints = (models.CheckConstraint(condition=models.Q(pk=1), name="home_is_one_row"),)

    def __str__(self) -> str:
        return f"At home in {self.fingerprint}"
