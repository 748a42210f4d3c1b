"""The message, the log of its attempts, and who was withdrawn."""

from datetime import datetime
from typing import Any, cast

from django.conf import settings
from django.db import models
from django.utils import translation
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from clients.models import Client
from messages_app.querysets import MessageQuerySet
from messages_app.sender_ids import STAND_IN, sender_id


class ErrorCode(models.TextChoices):
    """Why an attempt, or a message, failed. Other programs depend on these values.

    docs/sender-api.md says which answer has which code.
    """

    REJECTED = "rejected", _("The sender refuses this message")
    UNAUTHORIZED = "unauthorized", _("The sender refuses our token")
    THROTTLED = "throttled", _("The sender wants fewer messages")
    UNAVAILABLE = "unavailable", _("The sender could not be reached, or said that it cannot")
    UNCONFIRMED = "unconfirmed", _("Nobody knows whether it arrived")
    BAD_RESPONSE = "bad_response", _("The sender did not accept it, or answered senselessly")
    EXPIRED = "expired", _("The stop time came first")
    OUT_OF_WINDOW = "out_of_window", _("No hours to send in were left in the client's zone")
    NOT_MATCHED = "not_matched", _("The client no longer matched the filters")
    CANCELLED = "cancelled", _("The mailing was cancelled")

    @property
    def stored(self) -> str:
        """What is written to a message: the same, whoever is at work and in which language."""
        with translation.override(settings.LANGUAGE_CODE):
            return f"{self.label}."


class Standing(models.TextChoices):
    """How an operator counts a message: each has one, and it follows from its status and reason.

    A failed message that is tried again has not failed yet; one that is unconfirmed and not tried
    again may have arrived.
    """

    SENT = "sent", _("Sent")
    WAITING = "waiting", _("Waiting")
    RETRIED = "retried", _("Being retried")
    FAILED = "failed", _("Failed for good")
    UNKNOWN = "unknown", _("Nobody knows")


# A message that failed with one of these may succeed at the next attempt.
TRANSIENT = (
    ErrorCode.UNAUTHORIZED,
    ErrorCode.THROTTLED,
    ErrorCode.UNAVAILABLE,
    ErrorCode.BAD_RESPONSE,
)


def forget_client(
    collector: Any, field: Any, messages: "models.QuerySet[Message]", using: str
) -> None:
    """Keep the messages of clients that are deleted: `client` is emptied, and they leave the line.

    To be given as a foreign key's `on_delete`, like Django's SET_NULL.
    """
    queued_at = field.model._meta.get_field("queued_at")
    collector.add_field_update(queued_at, models.F("next_attempt_at"), messages)
    collector.add_field_update(field, None, messages)


cast(Any, forget_client).lazy_sub_objs = True  # as Django's SET_NULL: they are not read into memory


class Message(models.Model):
    """One text to one client. The sender knows it by its `sender_id`, not by its id.

    `next_attempt_at` alone says whether it is still to be sent: empty means no; in the past means
    due, unless a delivery has leased it. When the worker of a lease dies, its messages become due
    again or unconfirmed (see Lease and `engine.recovery`). Where it waits until then, in its
    mailing's line or in the queue, `queued_at` says (see `waiting`).
    """

    class Status(models.TextChoices):
        """Whether it was accepted by the sender, or failed, or neither yet."""

        PENDING = "pending", _("Pending")
        SUCCESS = "success", _("Success")
        FAIL = "fail", _("Fail")

    # Without constraints, which would look up both for every message planned. Whoever adds messages
    # or deletes a client or mailing locks it first (docs/adr/0021-no-foreign-keys.md).
    mailing = models.ForeignKey(
        "mailings.Mailing",
        models.CASCADE,
        related_name="messages",
        db_constraint=False,
        db_index=False,  # The unique constraint begins with it.
    )
    client = models.ForeignKey(
        Client, forget_client, null=True, related_name="messages", db_constraint=False
    )
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
    # Its place in the queue: `next_attempt_at`. Empty while it stands in line, and when it is over.
    queued_at = models.DateTimeField(null=True, editable=False)
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
    timezone = models.CharField(
        max_length=64,
        editable=False,
        default="",
        db_default="",
        help_text="The client's time zone when it was planned; empty if an earlier version did.",
    )
    text_version = models.PositiveIntegerField(
        null=True, editable=False, help_text="Which version of the mailing's text went out last."
    )
    # Which delivery claimed it last: answers of any other are refused. `lease_until` is set
    # while that delivery holds it. No index may contain these two, `status` or `next_attempt_at`:
    # whoever claims a message in line and records its success then writes no index (Postgres calls
    # it a heap-only update).
    lease_token = models.BigIntegerField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)

    objects = MessageQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        permissions = (
            ("resend_message", "Can resend message"),
            ("confirm_message", "Can confirm that message arrived"),
        )
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
            # Who was sent to and then deleted: such a number is not planned again.
            models.Index(
                fields=("mailing", "phone_number"),
                condition=models.Q(client__isnull=True),
                name="message_deleted_client_idx",
            ),
            # Messages of deleted clients, by mailing and by number. Few, as above.
            models.Index(
                fields=("mailing", "id"),
                condition=models.Q(client__isnull=True),
                name="message_to_nobody_idx",
            ),
            models.Index(
                fields=("phone_number",),
                condition=models.Q(client__isnull=True),
                name="message_deleted_number_idx",
            ),
            # The queue of a mailing, oldest first.
            models.Index(
                fields=("mailing", "queued_at"),
                condition=models.Q(queued_at__isnull=False),
                name="message_queue_idx",
            ),
            # What went wrong, newest first: few among many.
            models.Index(
                fields=("-id",), condition=~models.Q(error_code=""), name="message_error_idx"
            ),
        )

    def __str__(self) -> str:
        return gettext("Message %(id)s") % {"id": self.pk}

    def schedule(self, at: datetime | None) -> None:
        """Have it wait in the queue for its next attempt, or have none. The caller saves it."""
        self.next_attempt_at = self.queued_at = at

    @property
    def known_number(self) -> str:
        """The number it goes or went to; empty once that is forgotten."""
        return "" if self.phone_number.startswith(STAND_IN) else self.phone_number

    @property
    def sender_id(self) -> int:
        """The id by which the sender knows it. It needs the mailing (`select_related`)."""
        return sender_id(
            self.mailing.sender_key, message_id=self.pk, phone_number=self.phone_number
        )


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
