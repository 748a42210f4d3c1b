"""Query parameters of the list of clients."""

from django import forms
from django.db.models import Q, QuerySet
from django_filters import CharFilter, FilterSet

from clients import phone_numbers
from clients.models import Client
from toolkit import time_zones
from toolkit.rest.filters import texts


class PartOfNumberField(forms.CharField):
    """The beginning of a phone number, written any usual way."""

    def clean(self, value: str | None) -> str:
        """Return its digits.

        Raises:
            ValidationError: it has something else in it than what people write in numbers.
        """
        part: str = super().clean(value)
        return phone_numbers.digits_of_part(part) if part else ""


class PartOfNumberFilter(CharFilter):
    """Keeps clients by the beginning of their phone number."""

    field_class = PartOfNumberField


class ClientFilterSet(FilterSet):
    """Exact values, the beginning of the phone number, and words."""

    phone_number = PartOfNumberFilter(
        lookup_expr="startswith",
        help_text="Beginning of the phone number, written any usual way.",
    )
    operator_code = texts(help_text="Exactly this operator code.")
    tag = texts(help_text="Exactly this tag.")
    timezone = texts(
        validators=[time_zones.validate], help_text="IANA name, for example Europe/Moscow."
    )
    search = CharFilter(
        method="containing",
        help_text="Part of the phone number, written any usual way, or of the tag.",
    )

    class Meta:
        model = Client
        fields = ("phone_number", "operator_code", "tag", "timezone")

    def containing(self, clients: QuerySet[Client], name: str, value: str) -> QuerySet[Client]:
        """Keep clients whose phone number or tag contains a text."""
        return clients.filter(having_number_part(value) | Q(tag__icontains=value))


def having_number_part(text: str) -> Q:
    """Return the condition that a phone number contains a text, however it is written."""
    try:
        digits = phone_numbers.digits_of_part(text)
    except forms.ValidationError:
        return Q(pk__in=())
    return Q(phone_number__contains=digits)
