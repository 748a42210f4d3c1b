"""Query parameters of the list of clients."""

from django.core.validators import RegexValidator
from django.db.models import Q, QuerySet
from django_filters import CharFilter, FilterSet

from clients.models import Client
from toolkit import time_zones


class ClientFilterSet(FilterSet):
    """Exact values, the beginning of the phone number, and words."""

    phone_number = CharFilter(
        method="beginning_with",
        validators=[RegexValidator(r"^\+?[0-9]+\Z", "Write digits only, for example 7999.")],
        help_text="Beginning of the phone number, digits.",
    )
    operator_code = CharFilter(help_text="Exactly this operator code.")
    tag = CharFilter(help_text="Exactly this tag.")
    timezone = CharFilter(
        validators=[time_zones.validate], help_text="IANA name, for example Europe/Moscow."
    )
    search = CharFilter(method="containing", help_text="Part of the phone number or of the tag.")

    class Meta:
        model = Client
        fields = ("phone_number", "operator_code", "tag", "timezone")

    def beginning_with(self, clients: QuerySet[Client], name: str, value: str) -> QuerySet[Client]:
        """Keep clients whose phone number begins with a text, with or without a plus sign."""
        return clients.filter(phone_number__startswith=value.removeprefix("+"))

    def containing(self, clients: QuerySet[Client], name: str, value: str) -> QuerySet[Client]:
        """Keep clients whose phone number or tag contains a text."""
        return clients.filter(Q(phone_number__contains=value) | Q(tag__icontains=value))
