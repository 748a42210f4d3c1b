"""The mailing: a text, the clients it is for, and the time it may be sent in."""

from django.core.exceptions import ValidationError
from django.core.validators import EMPTY_VALUES
from django.db import models

from mailings.filters import validate_filters
from mailings.querysets import MailingQuerySet


class Mailing(models.Model):
    """One text to every client that its filters select, between two moments."""

    class Status(models.TextChoices):
        """What the mailing is doing."""

        SCHEDULED = "scheduled", "Scheduled"
        RUNNING = "running", "Running"
        PAUSED = "paused", "Paused"
        FINISHED = "finished", "Finished"
        CANCELLED = "cancelled", "Cancelled"

    start_time = models.DateTimeField(help_text="Sending begins. In the past means at once.")
    stop_time = models.DateTimeField(help_text="Nothing is sent from this moment on.")
    text = models.TextField(max_length=4096, help_text="What the clients will read.")
    filters = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_filters],
        help_text='For example {"operator_code": ["999", "926"], "tag": "vip"}; {} is everyone.',
    )
    status = models.CharField(
        max_length=16, choices=Status, default=Status.SCHEDULED, editable=False
    )
    last_run_time = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When the clients were last looked through for new matching ones.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    # The last client planned, while a run through the clients is under way.
    planned_up_to = models.BigIntegerField(default=0, editable=False)
    # Set once, when nothing can change any more: history is then read, not counted.
    success_count = models.BigIntegerField(null=True, editable=False)
    fail_count = models.BigIntegerField(null=True, editable=False)

    objects = MailingQuerySet.as_manager()

    class Meta:
        """Newest first; the database itself refuses what could never be sent."""

        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(stop_time__gt=models.F("start_time")),
                name="mailing_stops_after_it_starts",
            ),
            models.CheckConstraint(condition=~models.Q(text=""), name="mailing_has_a_text"),
            models.CheckConstraint(
                condition=models.Q(
                    status__in=("scheduled", "running", "paused", "finished", "cancelled")
                ),
                name="mailing_status_is_known",
            ),
        )
        indexes = (
            # The minute's tick looks only at mailings that are not over.
            models.Index(
                fields=("status", "start_time"),
                condition=models.Q(success_count=None),
                name="mailing_open_idx",
            ),
        )

    def __str__(self) -> str:
        return f"Mailing {self.pk}"

    @property
    def is_over(self) -> bool:
        """Whether its status allows no more sending."""
        return self.status in (self.Status.FINISHED, self.Status.CANCELLED)

    def clean(self) -> None:
        """Refuse times in the wrong order, a text of nothing but spaces, and no filters."""
        if self.filters in EMPTY_VALUES:
            self._validate_empty_filters()
        if not self.text.strip():
            blank = ValidationError("Write what the clients should read.", code="blank")
            raise ValidationError({"text": blank})
        if self.start_time and self.stop_time and self.stop_time <= self.start_time:
            too_early = ValidationError(
                "The stop time must be later than the start time.", code="stop_before_start"
            )
            raise ValidationError({"stop_time": too_early})

    def _validate_empty_filters(self) -> None:
        """Refuse null, "" and [], about which Django does not ask the field's validators."""
        try:
            validate_filters(self.filters)
        except ValidationError as error:
            raise ValidationError({"filters": error}) from None
