"""The client: a phone number, and what mailings select it by; how many there are; and imports."""

from uuid import uuid4

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from timezone_field import TimeZoneField

from clients import phone_numbers, tags
from clients.querysets import Backwards, ClientQuerySet
from toolkit import external_ids
from toolkit.jobs.job import Job, JobQuerySet


class Client(models.Model):
    """Somebody a mailing can reach."""

    phone_number = models.CharField(
        max_length=20,
        unique=True,
        help_text="International number, for example 79991234567 or +7 999 123-45-67.",
        error_messages={"unique": "There is already a client with this phone number."},
    )
    operator_code = models.CharField(
        max_length=8,
        blank=True,
        validators=[RegexValidator(r"^[0-9]+\Z", "Write digits only, for example 999.")],
        help_text="Digits. Left empty, it is taken from the phone number.",
    )
    tag = models.CharField(
        max_length=tags.MAX_LENGTH,
        blank=True,
        db_index=True,
        validators=[tags.validate],
        help_text="Any word to select clients by.",
    )
    timezone = TimeZoneField(default="UTC", help_text="IANA name, for example Europe/Moscow.")
    external_id = models.CharField(  # noqa: DJ001  # "" could be there once only
        max_length=external_ids.MAX_LENGTH,
        null=True,
        blank=True,
        validators=[external_ids.validate],
        help_text="The id that another program has for this client; no two have the same.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ClientQuerySet.as_manager()

    class Meta:
        """Newest first; the database itself refuses what is not a number."""

        ordering = ("-id",)
        permissions = (("erase_client", "Can erase client, with all that is kept of it"),)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(phone_number__regex=phone_numbers.PATTERN),
                name="client_phone_number_is_e164_digits",
            ),
            models.UniqueConstraint(
                fields=("external_id",),
                condition=models.Q(external_id__isnull=False),
                name="client_external_id_once",
                violation_error_message="There is already a client with this external id.",
            ),
        )
        # Lists by one of these fields, newest first (that of `tag` alone is for its beginning).
        indexes = (
            models.Index(fields=("operator_code", "id"), name="client_operator_code_idx"),
            models.Index(fields=("tag", "id"), name="client_tag_idx"),
            models.Index(fields=("timezone", "id"), name="client_timezone_idx"),
            models.Index(fields=("updated_at",), name="client_updated_idx"),
            # By the last digits of the number.
            models.Index(Backwards("phone_number"), name="client_backwards_idx"),
        )

    def __str__(self) -> str:
        return f"+{self.phone_number}"

    def clean(self) -> None:
        """Normalise the phone number and derive the operator code when it is empty."""
        try:
            self.phone_number, code = phone_numbers.normalise_with_code(self.phone_number)
        except ValidationError as error:
            raise ValidationError({"phone_number": error}) from None
        self.operator_code = self.operator_code or code


class _Counted(models.Model):
    """A number of clients who are alike in all that mailings select clients by."""

    operator_code = models.CharField(max_length=8)
    tag = models.CharField(max_length=tags.MAX_LENGTH)
    timezone = models.CharField(max_length=63)  # a name, also one that is known elsewhere only
    number = models.BigIntegerField()

    class Meta:
        abstract = True
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.number} of {self.operator_code}, {self.tag}, {self.timezone}"


class Tally(_Counted):
    """How many clients there are, as far as is folded (docs/adr/0048-clients-counted.md)."""

    class Meta(_Counted.Meta):
        constraints = (
            models.UniqueConstraint(
                fields=("tag", "operator_code", "timezone"), name="tally_once_per_kind"
            ),
        )


class TallyChange(_Counted):
    """Clients who came to be so, or were so no longer, by one statement.

    Triggers write it, on Postgres; on SQLite they change the tally.
    """


def name_file(instance: "ClientImport", filename: str) -> str:
    """Return where a file is kept; what its owner called it says too much of them."""
    return f"imports/{uuid4().hex}"


class ClientImportQuerySet(JobQuerySet["ClientImport"]):
    """Imports, as phrases."""

    def started(self) -> "ClientImportQuerySet":
        """Leave out the files that somebody has uploaded in the console and not yet started."""
        return self.exclude(status=ClientImport.UPLOADED)

    def uploaded(self) -> "ClientImportQuerySet":
        """Keep the files that wait for somebody to start their import."""
        return self.filter(status=ClientImport.UPLOADED)


class ClientImport(Job):
    """A file of clients that somebody has uploaded, and what becomes of its rows."""

    # The file is kept, and its import not started: somebody looks at the first rows in the console.
    # No status of a job, so that no worker, also of an earlier version, takes it for one.
    UPLOADED = "uploaded"

    class OnKnown(models.TextChoices):
        """What happens to a client whose number is known already."""

        UPDATE = "update"
        SKIP = "skip"

    file = models.FileField(upload_to=name_file, max_length=200, blank=True)
    file_name = models.CharField(max_length=255, help_text="What the file was called.")
    on_known = models.CharField(max_length=6, choices=OnKnown.choices, default=OnKnown.UPDATE)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    rows = models.PositiveIntegerField(null=True, help_text="In the file; null until it is read.")
    done = models.PositiveIntegerField(default=0, help_text="Rows that were looked at.")
    created = models.PositiveIntegerField(default=0, help_text="Rows whose number was not known.")
    updated = models.PositiveIntegerField(default=0, help_text="Rows that changed a client.")
    unchanged = models.PositiveIntegerField(
        default=0, help_text="Rows with which a client was as it is, or was to be left alone."
    )
    rejected = models.PositiveIntegerField(
        default=0, help_text="Rows that could not be saved; `rejected.csv` has them."
    )
    # {"columns": [...], "has_header": ...} as chosen in the console; null: the header names them.
    mapping = models.JSONField(null=True, editable=False)
    # Where it goes on.
    columns = models.JSONField(default=list, editable=False)
    offset = models.BigIntegerField(default=0, editable=False)  # bytes
    line = models.BigIntegerField(default=0, editable=False)
    separator = models.CharField(max_length=1, default="", editable=False)

    objects = ClientImportQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"Import {self.pk} of {self.file_name}"


class RejectedRows(models.Model):
    """Rows of one step of an import that could not be saved: [line, reason, *cells] each."""

    of = models.ForeignKey(ClientImport, models.CASCADE, related_name="rejected_rows")
    rows = models.JSONField()

    class Meta:
        default_permissions = ()
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{len(self.rows)} rows of import {self.of_id}"


class ClientChangeQuerySet(JobQuerySet["ClientChange"]):
    """Changes of many clients, as phrases."""


class ClientChange(Job):
    """The same change of all clients that the filters of a list find."""

    class What(models.TextChoices):
        """What is done to them; the names of fields are set to the value."""

        TAG = "tag"
        TIMEZONE = "timezone"
        DELETE = "delete"

    what = models.CharField(max_length=8, choices=What.choices)
    value = models.CharField(max_length=tags.MAX_LENGTH, blank=True, default="")
    filters = models.JSONField(default=dict, help_text="The list's parameters.")
    number = models.BigIntegerField(help_text="Clients that they found when it was ordered.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    done = models.BigIntegerField(default=0, help_text="Clients that were looked at.")
    changed = models.BigIntegerField(default=0, help_text="Those that were not so already.")
    # Ids: later clients are left alone, and where it goes on.
    up_to = models.BigIntegerField()
    last_id = models.BigIntegerField(default=0)

    objects = ClientChangeQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"Change {self.pk} of clients"
