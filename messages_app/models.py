"""The message and the log of its attempts, and the rows by which the engine coordinates workers."""

from django.core.validators import MinValueValidator
from django.db import models

from clients.models import Client
from messages_app.querysets import (
    DoorbellQuerySet,
    HeartbeatQuerySet,
    LeaseQuerySet,
    MessageQuerySet,
    SendingControlQuerySet,
)


class ErrorCode(models.TextChoices):
    """Why an attempt, or a message, failed. Other programs depend on these values.

    docs/sender-api.md says which answer has which code.
    """

    REJECTED = "rejected", "The sender refuses this message"
    UNAUTHORIZED = "unauthorized", "The sender refuses our token"
    THROTTLED = "throttled", "The sender wants fewer messages"
    UNAVAILABLE = "unavailable", "The sender could not be reached, or said that it cannot"
    UNCONFIRMED = "unconfirmed", "Nobody knows whether it arrived"
    BAD_RESPONSE = "bad_response", "The sender did not accept it, or answered senselessly"
    EXPIRED = "expired", "The stop time came first"
    OUT_OF_WINDOW = "out_of_window", "No hours to send in were left in the client's zone"
    NOT_MATCHED = "not_matched", "The client no longer matched the filters"
    CANCELLED = "cancelled", "The mailing was cancelled"


# A message that failed with one of these may succeed at the next attempt.
TRANSIENT = (
    ErrorCode.UNAUTHORIZED,
    ErrorCode.THROTTLED,
    ErrorCode.UNAVAILABLE,
    ErrorCode.BAD_RESPONSE,
)


class Message(models.Model):
    """One text to one client. Its id is the sender's idempotency key and is never reused.

    `next_attempt_at` alone says whether it is still to be sent: empty means no; in the past means
    due, unless a delivery has leased it. When the worker of a lease dies, its messages become due
    again or unconfirmed (see Lease and `engine.recovery`).
    """

    class Status(models.TextChoices):
        """Whether it was accepted by the sender, or failed, or neither yet."""

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
    # Which delivery claimed it last: answers of any other are refused. `lease_until` is set
    # while that delivery holds it. No index may contain these two: a claim then writes no index
    # (Postgres calls it a heap-only update).
    lease_token = models.BigIntegerField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)

    objects = MessageQuerySet.as_manager()

    class Meta:
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


class Attempt(models.Model):
    """One attempt in a message's log: a failed one, or the success that came after failures.

    A success at the first attempt has no row, because the message itself says all about it
    (docs/adr/0011-attempts-and-unclear-outcomes.md).
    """

    message = models.ForeignKey(Message, models.CASCADE, related_name="attempt_log", db_index=False)
    number = models.PositiveIntegerField(help_text="Which of the message's attempts it was.")
    began_at = models.DateTimeField(null=True, help_text="Empty where nobody was left to say.")
    seconds = models.FloatField(null=True, help_text="How long the answer took, in seconds.")
    error_code = models.CharField(
        max_length=32, help_text="Why it failed; empty when the sender accepted it."
    )
    http_status = models.PositiveSmallIntegerField(
        null=True, help_text="The answer's HTTP status; empty when there was no answer."
    )
    error = models.CharField(max_length=255, help_text="The same in words.")
    is_unclear = models.BooleanField(
        default=False, help_text="It failed, and yet the message may have arrived."
    )

    class Meta:
        """A message's attempts are counted from 1."""

        ordering = ("number",)
        constraints = (
            models.UniqueConstraint(fields=("message", "number"), name="attempt_once_per_number"),
        )

    def __str__(self) -> str:
        return f"Attempt {self.number} of message {self.message_id}"


class Withdrawal(models.Model):
    """A client whose message was withdrawn from a mailing, so that planning adds no other one."""

    mailing = models.ForeignKey(
        "mailings.Mailing", models.CASCADE, related_name="withdrawals", db_index=False
    )
    client = models.ForeignKey(Client, models.CASCADE, related_name="withdrawals")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("mailing", "client"), name="withdrawal_once_per_client"
            ),
        )

    def __str__(self) -> str:
        return f"Client {self.client_id} withdrawn from mailing {self.mailing_id}"


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


class SendingControl(models.Model):
    """What limits all workers together: the operator's pause, the rate and the breaker. One row.

    While `opened_at` is set, the breaker is open: nothing is sent except a probe now and then.
    """

    is_paused = models.BooleanField(
        "paused", default=False, help_text="Nothing is sent until this is taken back."
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

    objects = HeartbeatQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Heartbeat of {self.name}"
