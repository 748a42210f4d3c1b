"""How a list of clients can be narrowed."""

from django_filters import CharFilter, FilterSet

from clients import time_zones
from clients.models import Client


class ClientFilterSet(FilterSet):
    """Exact values, and the beginning of the phone number."""

    phone_number = CharFilter(
        lookup_expr="startswith", help_text="Beginning of the phone number, digits."
    )
    operator_code = CharFilter()
    tag = CharFilter()
    timezone = CharFilter(
        validators=[time_zones.validate], help_text="IANA name, for example Europe/Moscow."
    )

    class Meta:
        """The fields that can be asked for."""

        model = Client
        fields = ("phone_number", "operator_code", "tag", "timezone")
