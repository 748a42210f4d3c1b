"""The client: a phone number, and what mailings select it by."""

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from timezone_field import TimeZoneField

from clients import phone_numbers, tags
from clients.querysets import ClientQuerySet


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
        db_index=True,
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
