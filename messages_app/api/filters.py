"""How a list of messages can be narrowed."""

from django import forms
from django.core.validators import MaxValueValidator
from django.db.models import BigIntegerField
from django_filters import CharFilter, FilterSet, NumberFilter

from messages_app.models import Message


class IdFilter(NumberFilter):
    """An id: a whole number of at most 64 bits."""

    field_class = forms.IntegerField

    def get_max_validator(self) -> MaxValueValidator:
        """Return what refuses ids that no database can have."""
        return MaxValueValidator(BigIntegerField.MAX_BIGINT)


class MessageFilterSet(FilterSet):
    """By mailing, client, status and reason of failure."""

    mailing = IdFilter(field_name="mailing_id", help_text="Id of a mailing.")
    client = IdFilter(field_name="client_id", help_text="Id of a client.")
    error_code = CharFilter(help_text="Why the last attempt failed, such as rejected.")

    class Meta:
        """The fields that can be asked for."""

        model = Message
        fields = ("mailing", "client", "status", "error_code")
