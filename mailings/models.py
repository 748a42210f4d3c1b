"""The mailing: a text, the clients it is for, and the time it may be sent in."""

import secrets
from datetime import UTC, datetime, timedelta
from math import ceil

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import EMPTY_VALUES
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from clients.audience import validate_filters
from mailings.querysets import MailingManager, MailingQuerySet
from messages_app.mailing_snapshot import MailingSnapshot
from messages_app.sql import Condition, moment_value, table_of
from toolkit import external_ids
from toolkit.characters import is_unwritable
from toolkit.sending_hours import Window

ALL_FORGOTTEN = models.BigIntegerField.MAX_BIGINT


def new_sender_key() -> int:
    """Return a random number of 63 bits, from which the sender ids of a mailing are made."""
    return secrets.randbits(63)


class Mailing(models.Model):
    """One text to every client that its filters select, between two moments."""

    class Status(models.TextChoices):
        """The status of a mailing; FINISHED and CANCELLED are over.

        DRAFT is a word of its own, and no flag beside another status: whatever looks for mailings
        to start, send or close names the statuses it wants, also in earlier versions, and none
        names this one (docs/adr/0029-before-sending.md).
        """

        DRAFT = "draft", _("Draft")
        SCHEDULED = "scheduled", _("Scheduled")
        RUNNING = "running", _("Running")
        PAUSED = "paused", _("Paused")
        FINISHED = "finished", _("Finished")
        CANCELLED = "cancelled", _("Cancelled")

    start_time = models.DateTimeField(help_text="Sending begins. In the past means at once.")
    stop_time = models.DateTimeField(help_text="Nothing is sent from this moment on.")
    window_start = models.TimeField(
        null=True,
        blank=True,
        help_text="Nobody is sent to before this hour of their own day, for example 09:00. Leave "
        "both hours empty to send at any hour.",
    )
    window_end = models.TimeField(
        null=True,
        blank=True,
        help_text="Nor from this hour on, for example 21:00. An hour earlier than the first is "
        "the next morning's: 22:00 and 06:00 are the night.",
    )
    text = models.TextField(max_length=4096, help_text="What the clients will read.")
    filters = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_filters],
        help_text='For example {"operator_code": ["999", "926"], "tag": "vip"}; {} is everyone.',
    )
    external_id = models.CharField(  # noqa: DJ001  # "" could be there once only
        max_length=external_ids.MAX_LENGTH,
        null=True,
        blank=True,
        validators=[external_ids.validate],
        help_text="The id that another program has for this mailing; no two have the same.",
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

    # The id of the last client planned, while planning is under way; 0 when it is not.
    planned_up_to = models.BigIntegerField(default=0, editable=False)
    # From it and a client's number the sender's id of a message is made (docs/adr/0015). Empty in
    # mailings that an earlier version made: there it is the message's own id.
    sender_key = models.BigIntegerField(default=new_sender_key, null=True, editable=False)
    text_version = models.PositiveIntegerField(
        default=1, db_default=1, editable=False, help_text="Counts the texts it has had, from 1."
    )
    # Since when the ledger has all its messages. Empty in a mailing that an earlier version has
    # made or changed, until `messages_app.ledger.reconciling` has counted its messages.
    ledger_at = models.DateTimeField(default=timezone.now, null=True, editable=False)
    # When it was deleted: from then on only the task that clears it away sees it.
    deleted_at = models.DateTimeField(null=True, editable=False)
    # The id of the last client whose message was looked at, while messages are made due again after
    # an edit: those that were put off, and those that failed. Empty when nothing is to be done.
    deferred_up_to = models.BigIntegerField(null=True, editable=False)
    failed_up_to = models.BigIntegerField(null=True, editable=False)
    # Failed messages with these reasons are made due again.
    requeued_codes = models.JSONField(null=True, editable=False)
    # When an operator said that all arrived of which nobody knew, and the id of the last message
    # looked at while that is done. The latter is empty when nothing is to be done.
    confirm_asked_at = models.DateTimeField(null=True, editable=False)
    confirmed_up_to = models.BigIntegerField(null=True, editable=False)
    # Of a mailing that sends again what has failed for good in another one: which one, and the
    # reasons (empty: all). Its clients are those of such messages. The other one may be deleted
    # once this one is planned; from then on nobody is left to plan.
    resends = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        null=True,
        editable=False,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    resent_codes = models.JSONField(null=True, editable=False)
    # Who wrote it as it is, when it was launched, and who approved which version of it (its
    # `updated_at` then, so that any edit voids that). No foreign keys: users are deleted.
    written_by = models.BigIntegerField(null=True, editable=False)
    launched_at = models.DateTimeField(null=True, editable=False)
    approved_by = models.BigIntegerField(null=True, editable=False)
    approved_at = models.DateTimeField(null=True, editable=False)
    approved_version = models.DateTimeField(null=True, editable=False)
    # The id of the last client whose message's number was forgotten; ALL_FORGOTTEN once all are.
    numbers_forgotten_up_to = models.BigIntegerField(null=True, editable=False)
    # When its final counts were last changed, until a statement of that is begun.
    result_changed_at = models.DateTimeField(null=True, editable=False)
    # The final counts, written when the mailing is closed, so that they need not be counted again.
    success_count = models.BigIntegerField(null=True, editable=False)
    fail_count = models.BigIntegerField(null=True, editable=False)
    # The same by the clients' time zones: {zone: {status: number}}.
    timezone_counts = models.JSONField(null=True, editable=False)

    objects = MailingManager()
    including_deleted = MailingQuerySet.as_manager()

    class Meta:
        """Newest first; the database itself refuses what could never be sent."""

        ordering = ("-id",)
        permissions = (("launch_mailing", "Can launch mailing, or send its messages again"),)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(stop_time__gt=models.F("start_time")),
                name="mailing_stops_after_it_starts",
            ),
            models.CheckConstraint(condition=~models.Q(text=""), name="mailing_has_a_text"),
            models.CheckConstraint(
                condition=models.Q(
                    status__in=(
                        *("draft", "scheduled", "running", "paused", "finished", "cancelled"),
                    )
                ),
                name="mailing_status_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(window_start=None, window_end=None)
                | models.Q(window_start__isnull=False, window_end__isnull=False),
                name="mailing_window_has_two_ends",
            ),
            models.CheckConstraint(
                condition=~models.Q(window_start=models.F("window_end")),
                name="mailing_window_opens",
            ),
            # A deleted one, which may take long to clear away, keeps nobody from its id.
            models.UniqueConstraint(
                fields=("external_id",),
                condition=models.Q(external_id__isnull=False, deleted_at=None),
                name="mailing_external_id_once",
            ),
        )
        indexes = (
            # The tick reads only mailings that are not closed.
            models.Index(
                fields=("status", "start_time"),
                condition=models.Q(success_count=None),
                name="mailing_open_idx",
            ),
            # Soon after an upgrade there are none, and each page of counts asks for them.
            models.Index(
                fields=("id",),
                condition=models.Q(ledger_at=None),
                name="mailing_outside_ledger_idx",
            ),
            # Each tick looks for those of which messages are to be confirmed.
            models.Index(
                fields=("id",),
                condition=models.Q(confirmed_up_to__isnull=False),
                name="mailing_to_confirm_idx",
            ),
            # Each tick looks for those of which a statement is to be made.
            models.Index(
                fields=("result_changed_at",),
                condition=models.Q(result_changed_at__isnull=False),
                name="mailing_to_state_idx",
            ),
            # Each tick looks for those whose messages have kept their numbers for long enough.
            models.Index(
                fields=("stop_time",),
                condition=models.Q(success_count__isnull=False)
                & (
                    models.Q(numbers_forgotten_up_to=None)
                    | models.Q(numbers_forgotten_up_to__lt=ALL_FORGOTTEN)
                ),
                name="mailing_numbers_idx",
            ),
        )

    def __str__(self) -> str:
        return gettext("Mailing %(id)s") % {"id": self.pk}

    @property
    def is_ended(self) -> bool:
        """Whether its status is final: finished or cancelled."""
        return self.status in (self.Status.FINISHED, self.Status.CANCELLED)

    def is_over_at(self, now: datetime) -> bool:
        """Tell whether nothing of it may be sent any more: ended, or past its stop time.

        A draft is not over, whatever its times are: they are looked at when it is launched.
        """
        return self.is_ended or (self.stop_time <= now and not self.is_draft)

    @property
    def is_draft(self) -> bool:
        """Whether it was not launched yet: nobody is planned for it, and its times do not count."""
        return self.status == self.Status.DRAFT

    @property
    def is_approved(self) -> bool:
        """Whether somebody approved it as it is now."""
        return self.approved_by is not None and self.approved_version == self.updated_at

    @property
    def undo_until(self) -> datetime:
        """Until when its launch can be undone; before it was launched, never."""
        never = datetime.min.replace(tzinfo=UTC)
        seconds = timedelta(seconds=settings.MAILING_UNDO_SECONDS)
        return self.launched_at + seconds if self.launched_at else never

    def seconds_to_undo(self, now: datetime) -> int:
        """Return for how many more seconds its launch can be undone; 0 if it cannot."""
        if self.status != self.Status.SCHEDULED or self.start_time <= now:
            return 0
        return max(0, ceil((self.undo_until - now).total_seconds()))

    @property
    def window(self) -> Window | None:
        """The hours of each client's own day in which it is sent to; None means any hour."""
        if self.window_start is None or self.window_end is None:
            return None
        return Window(self.window_start, self.window_end)

    @property
    def is_running(self) -> bool:
        """Whether its status allows sending. Its start and stop time are not considered."""
        return self.status == self.Status.RUNNING

    @property
    def is_looked_through(self) -> bool:
        """Whether no client or message is left to be looked at since it began or was edited."""
        is_planned = self.last_run_time is not None and self.planned_up_to == 0
        return is_planned and self.deferred_up_to is None and self.failed_up_to is None

    @property
    def is_closed(self) -> bool:
        """Whether it is over and its counts are final: no message is leased or to be sent."""
        return self.success_count is not None

    def snapshot(self, now: datetime) -> MailingSnapshot:
        """Return it for the engine, with an SQL condition that it is unchanged."""
        return MailingSnapshot(
            id=self.pk,
            made_at=self.created_at,
            text=self.text,
            text_version=self.text_version,
            text_of=self.text_of,
            sender_key=self.sender_key,
            filters=self.filters,
            stop_time=self.stop_time,
            window=self.window,
            version=self.updated_at,
            is_unchanged=self._is_unchanged(now),
        )

    def _is_unchanged(self, now: datetime) -> Condition:
        """Return MailingQuerySet.running and "at this version" as SQL, for many statements."""
        moment, version = moment_value(now), moment_value(self.updated_at)
        return Condition(
            f"EXISTS (SELECT 1 FROM {table_of(Mailing)} WHERE id = %s AND status = 'running'"
            " AND start_time <= %s AND stop_time > %s AND updated_at = %s AND deleted_at IS NULL)",
            (self.pk, moment, moment, version),
        )

    def text_of(self, version: int | None) -> str:
        """Return the text that a message went out with; the present one if it did not, or before.

        Texts that were replaced by an earlier release are not kept.
        """
        former = (
            self.former_texts.filter(version=version or 0).values_list("text", flat=True).first()
        )
        return self.text if former is None else str(former)

    def lock(self) -> None:
        """Reload it and lock it until the transaction ends: nobody else can edit or close it.

        Raises:
            DoesNotExist: it was deleted.
        """
        self.refresh_from_db(from_queryset=Mailing.objects.select_for_update(no_key=True))

    def count_late_success(self, number: int = 1) -> None:
        """Correct the final counts, if it has any: failed messages were accepted after all.

        The caller has locked the mailing.
        """
        if self.is_closed:
            Mailing.objects.filter(pk=self.pk).update(
                success_count=models.F("success_count") + number,
                fail_count=models.F("fail_count") - number,
                timezone_counts=None,  # counted when they are asked for
                result_changed_at=Now(),
            )

    def clean(self) -> None:
        """Validate the filters, the text, the order of times and the window.

        Raises:
            ValidationError: with every field that is wrong.
        """
        errors: dict[str, list[ValidationError]] = {}
        rules = (
            self._validate_empty_filters,
            self._validate_text,
            self._validate_times,
            self._validate_window,
        )
        for rule in rules:
            try:
                rule()
            except ValidationError as error:
                error.update_error_dict(errors)
        if errors:
            raise ValidationError(errors)

    def _validate_text(self) -> None:
        if not self.text.strip():
            blank = ValidationError(_("Write what the clients will read."), code="blank")
            raise ValidationError({"text": blank})
        self._validate_characters()

    def _validate_times(self) -> None:
        if self.start_time and self.stop_time and self.stop_time <= self.start_time:
            too_early = ValidationError(
                _("The stop time must be later than the start time."), code="stop_before_start"
            )
            raise ValidationError({"stop_time": too_early})

    def _validate_characters(self) -> None:
        """Write line breaks in one way; refuse what no phone shows as it was meant, tabs too."""
        self.text = self.text.replace("\r\n", "\n")  # as browsers send them
        if any(each != "\n" and is_unwritable(each) for each in self.text):
            unreadable = ValidationError(
                _(
                    "There is a character in it that cannot be read, such as a tab or an escape. "
                    "Write letters, signs, blanks and line breaks."
                ),
                code="invalid_text",
            )
            raise ValidationError({"text": unreadable})

    def _validate_window(self) -> None:
        """Refuse a window with only one end, or with a start equal to its end."""
        start, end = self.window_start, self.window_end
        if (start is None) != (end is None):
            missing = "window_start" if start is None else "window_end"
            incomplete = ValidationError(
                _("A window has a start and an end. Write this one too, or leave both empty."),
                code="window_incomplete",
            )
            raise ValidationError({missing: incomplete})
        if start is not None and start == end:
            never = ValidationError(
                _(
                    "The window would never be open. Write an end that differs from the start, or "
                    "leave both empty to send at any hour."
                ),
                code="window_never_open",
            )
            raise ValidationError({"window_end": never})

    def _validate_empty_filters(self) -> None:
        """Refuse null, "" and []. Django does not call a field's validators for empty values."""
        if self.filters not in EMPTY_VALUES:
            return
        try:
            validate_filters(self.filters)
        except ValidationError as error:
            raise ValidationError({"filters": error}) from None


class FormerText(models.Model):
    """A text that a mailing had before it was edited, because messages were sent with it."""

    mailing = models.ForeignKey(
        Mailing,
        models.CASCADE,
        related_name="former_texts",
        db_index=False,
        db_constraint=False,  # An earlier version deletes mailings and does not know this table.
    )
    version = models.PositiveIntegerField()
    text = models.TextField()
    replaced_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("mailing", "version"), name="former_text_once_per_version"
            ),
        )

    def __str__(self) -> str:
        return f"Text {self.version} of mailing {self.mailing_id}"


class StatementKey(models.Model):
    """The key that statements are signed with (`mailings.statements.signing`). One row."""

    private = models.BinaryField(help_text="Encrypted.")
    made_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = (
            models.CheckConstraint(condition=models.Q(pk=1), name="statement_key_is_one_row"),
        )

    def __str__(self) -> str:
        return "The key of statements"


class StatementQuerySet(models.QuerySet["Statement"]):
    """Statements, as phrases."""

    def signed(self) -> "StatementQuerySet":
        """Keep those that are made."""
        return self.filter(signed_at__isnull=False)

    def unsigned(self) -> "StatementQuerySet":
        """Keep those that are being made."""
        return self.filter(signed_at=None)

    def untold(self) -> "StatementQuerySet":
        """Keep those that are made, and of which no letters were."""
        return self.signed().filter(is_told=False)


class Statement(models.Model):
    """What became of each message of a mailing that is over, signed; unsigned while it is made.

    See docs/adr/0046-statements.md. Changes that come later make a further one.
    """

    mailing = models.ForeignKey(
        Mailing,
        models.CASCADE,
        related_name="statements",
        db_index=False,
        db_constraint=False,  # An earlier version deletes mailings and does not know this table.
    )
    number = models.PositiveIntegerField(help_text="Counts the statements of its mailing, from 1.")
    salt_key = models.BinaryField()
    begun_at = models.DateTimeField()
    # How far the messages were read: those to clients, then those of which the client is deleted.
    last_client = models.BigIntegerField(default=0)
    last_to_nobody = models.BigIntegerField(default=0)
    counts = models.JSONField(default=dict, help_text="Of the messages read, see `leaves.counted`.")
    first_sent_at = models.DateTimeField(null=True)
    last_sent_at = models.DateTimeField(null=True)

    document = models.TextField(default="", help_text="The JSON that is signed.")
    signature = models.CharField(max_length=100, default="")
    signed_at = models.DateTimeField(null=True)
    is_told = models.BooleanField(default=False, db_default=False, help_text="By letters.")

    objects = StatementQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=("mailing", "number"), name="statement_once_per_number"),
        )
        indexes = (
            models.Index(
                fields=("id",),
                condition=models.Q(signed_at=None),
                name="statement_unsigned_idx",
            ),
            models.Index(
                fields=("id",),
                condition=models.Q(is_told=False, signed_at__isnull=False),
                name="statement_untold_idx",
            ),
        )

    def __str__(self) -> str:
        return f"Statement {self.number} of mailing {self.mailing_id}"

    def is_signed_since(self, moment: datetime) -> bool:
        """Tell whether it was signed at a moment or later."""
        return self.signed_at is not None and self.signed_at >= moment


class StatementPart(models.Model):
    """Some leaves of a statement's tree: their root, and whose they are."""

    statement = models.ForeignKey(Statement, models.CASCADE, related_name="parts", db_index=False)
    place = models.PositiveIntegerField()
    root = models.BinaryField()
    message_ids = models.BinaryField(help_text="See `statements.making.message_ids`.")
    lowest = models.BigIntegerField()
    highest = models.BigIntegerField()

    class Meta:
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=("statement", "place"), name="statement_part_once"),
        )

    def __str__(self) -> str:
        return f"Part {self.place} of statement {self.statement_id}"
