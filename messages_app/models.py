"""The message: one mailing's text on its way to one client, and the doorbells that ring for it."""

from django.db import models

from clients.models import Client
from messages_app.querysets import DoorbellQuerySet, MessageQuerySet


class Message(models.Model):
    """One text to one client. Its id is the sender's idempotency key and is never reused.

    `next_attempt_at` alone says whether there is work left: empty means none; in the past
    means due, unless a delivery holds a lease on it. A lease ends by itself, so a message whose
    worker died becomes due again.
    """

    class Status(models.TextChoices):
        """What became of it."""

        PENDING = "pending", "Pending"
        SUCCESS = "success", "Success"
        FAIL = "fail", "Fail"

    mailing = models.ForeignKey(
        "mailings.Mailing",
        models.CASCADE,
        related_name="messages",
        db_index=False,  # The unique constraint begins with it.
    )
    client = models.ForeignKey(Client, models.SET_NULL, null=True, related_name="messages")
    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(
        null=True, editable=False, help_text="When the sender accepted it."
    )
    attempts = models.PositiveIntegerField(
        default=0, editable=False, help_text="How many times it was handed to the sender."
    )
    next_attempt_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When it will be tried (again); empty when it will not.",
    )
    error_code = models.CharField(
        max_length=32, editable=False, default="", help_text="Why the last attempt failed."
    )
    error = models.CharField(
        max_length=255, editable=False, default="", help_text="The same in words."
    )
    phone_number = models.CharField(
        max_length=20, editable=False, default="", help_text="The number it goes or went to."
    )
    is_manual = models.BooleanField(
        default=False, editable=False, help_text="Added by hand, whatever the filters say."
    )
    # Which delivery holds it; answers of any other are refused. No index may contain these
    # two: a claim then writes no index (Postgres calls it a heap-only update).
    lease_token = models.BigIntegerField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)

    objects = MessageQuerySet.as_manager()

    class Meta:
        """One message per mailing and client; the engine's indexes."""

        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("mailing", "client"),
                name="message_once_per_client",
                violation_error_message="This client already has a message of this mailing.",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=("pending", "success", "fail")),
                name="message_status_is_known",
            ),
            models.CheckConstraint(
                condition=~models.Q(status="success") | models.Q(next_attempt_at=None),
                name="message_success_is_final",
            ),
        )
        indexes = (
            # The queue: what is due, of one mailing, oldest first.
            models.Index(
                fields=("mailing", "next_attempt_at"),
                condition=models.Q(next_attempt_at__isnull=False),
                name="message_due_idx",
            ),
            # What went wrong, newest first: few among many.
            models.Index(
                fields=("-id",), condition=models.Q(status="fail"), name="message_fail_idx"
            ),
        )

    def __str__(self) -> str:
        return f"Message {self.pk}"


class Withdrawal(models.Model):
    """A client taken out of a mailing by hand, so that planning does not put it back."""

    mailing = models.ForeignKey(
        "mailings.Mailing", models.CASCADE, related_name="withdrawals", db_index=False
    )
    client = models.ForeignKey(Client, models.CASCADE, related_name="withdrawals")

    class Meta:
        """Once is enough."""

        constraints = (
            models.UniqueConstraint(
                fields=("mailing", "client"), name="withdrawal_once_per_client"
            ),
        )

    def __str__(self) -> str:
        return f"Client {self.client_id} withdrawn from mailing {self.mailing_id}"


class Doorbell(models.Model):
    """A send_message task that is queued or at work; a lost one is rung again once expired.

    Each of a mailing's lanes has at most one, so that repeated ticks do not pile up tasks.
    """

    mailing = models.ForeignKey(
        "mailings.Mailing", models.CASCADE, related_name="doorbells", db_index=False
    )
    lane = models.PositiveSmallIntegerField()
    expires_at = models.DateTimeField()

    objects = DoorbellQuerySet.as_manager()

    class Meta:
        """One doorbell a lane."""

        constraints = (
            models.UniqueConstraint(fields=("mailing", "lane"), name="doorbell_once_per_lane"),
        )

    def __str__(self) -> str:
        return f"Doorbell {self.lane} of mailing {self.mailing_id}"
