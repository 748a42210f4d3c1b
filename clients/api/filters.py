"""Query parameters of the list of clients."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django_filters import CharFilter

from clients import phone_numbers
from clients.models import Client
from clients.querysets import from_beginning
from toolkit import time_zones
from toolkit.rest.filters import ISO, MomentFilter, SeveralFilter, WalkedFilterSet, texts
from toolkit.rest.walking import Leg, ids_made_between, leg_by_values, shortest

# Clients that were changed between two times, if they are so few, are found by their ids.
FEW = 10_000
CHANGED = (("updated_after", "updated_at__gte"), ("updated_before", "updated_at__lt"))


class PartOfNumberField(forms.CharField):
    """The beginning of a phone number, written any usual way."""

    def clean(self, value: str | None) -> str:
        """Return its digits.

        Raises:
            ValidationError: it has something else in it than what people write in numbers.
        """
        part: str = super().clean(value)
        return phone_numbers.digits_of_part(part) if part else ""


class WholeNumberField(forms.CharField):
    """A whole phone number, written any usual way."""

    def clean(self, value: str | None) -> str:
        """Return its digits.

        Raises:
            ValidationError: it is no possible number.
        """
        return phone_numbers.normalise(str(super().clean(value)))


def whole_numbers(*, help_text: str, **kwargs: Any) -> SeveralFilter:
    """Return a filter by whole phone numbers."""
    schema = {"type": "string", "minLength": 1}
    return SeveralFilter(one=WholeNumberField(), schema=schema, help_text=help_text, **kwargs)


class PartOfNumberFilter(CharFilter):
    """Keeps clients by the beginning of their phone number."""

    field_class = PartOfNumberField

    def filter(self, qs: QuerySet[Client], value: str) -> QuerySet[Client]:
        """Keep them, by a range of the index that has numbers in order."""
        return qs.filter(from_beginning("phone_number", value)) if value else qs


class ClientFilterSet(WalkedFilterSet):
    """Exact values, the beginning of the phone number, and words."""

    phone_number = PartOfNumberFilter(
        help_text="Beginning of the phone number, written any usual way. The list is then in "
        "descending order of the numbers.",
    )
    operator_code = texts(help_text="Exactly this operator code.")
    tag = texts(help_text="Exactly this tag.")
    timezone = texts(
        validators=[time_zones.validate], help_text="IANA name, for example Europe/Moscow."
    )
    external_id = texts(help_text="Exactly this external id.")
    created_after = MomentFilter("created_at", "gte", help_text=f"Added then or later. {ISO}")
    created_before = MomentFilter("created_at", "lt", help_text=f"Added before. {ISO}")
    updated_after = MomentFilter(
        "updated_at",
        "gte",
        help_text=f"Last changed, or added, then or later. Of more than {FEW:,} such clients "
        f"pages may be short or empty. {ISO}",
    )
    updated_before = MomentFilter(
        "updated_at", "lt", help_text=f"Last changed, or added, before. {ISO}"
    )
    search = CharFilter(
        method="containing",
        help_text="Part of the phone number, written any usual way, or of the tag.",
    )

    class Meta:
        model = Client
        fields = ("phone_number", "operator_code", "tag", "timezone", "external_id")

    def legs(self) -> Sequence[Leg]:
        """Return the way by id or number, or else by a named field, one that few have if any."""
        if external_ids := self.values("external_id"):
            return [Leg(Q(), [Q(external_id__in=external_ids)])]
        if number := self.values("phone_number"):
            return [Leg(Q(), [from_beginning("phone_number", number)], column="phone_number")]
        if (changed := self._changed_in_time()) is not None:
            return [Leg(changed, [changed])]
        created = self.values("created_after"), self.values("created_before")
        return [
            leg.within(ids_made_between(Client.objects.all(), *created)) for leg in self._legs()
        ]

    def _legs(self) -> Sequence[Leg]:
        named = [field for field in ("tag", "operator_code", "timezone") if self.values(field)]
        legs = [leg_by_values(field, self.values(field)) for field in named]
        return [shortest(Client, legs)] if legs else super().legs()

    def _changed_in_time(self) -> Q | None:
        """Return the condition of clients changed between two times; None if they are not few.

        Their ids are read here, from the index of these times: it does not have them in the order
        of the list, so the database might look through that instead.
        """
        times = {lookup: time for name, lookup in CHANGED if (time := self.values(name))}
        if not times:
            return None
        found = Client.objects.filter(**times).order_by("updated_at").values_list("pk", flat=True)
        pks = list(found[: FEW + 1])
        return Q(pk__in=pks) if len(pks) <= FEW else None

    def containing(self, clients: QuerySet[Client], name: str, value: str) -> QuerySet[Client]:
        """Keep clients whose phone number or tag contains a text."""
        return clients.filter(having_number_part(value) | Q(tag__icontains=value))


def having_number_part(text: str) -> Q:
    """Return the condition that a phone number contains a text, however it is written."""
    try:
        digits = phone_numbers.digits_of_part(text)
        ends = phone_numbers.last_digits_of(text)
    except forms.ValidationError:
        return Q(pk__in=())
    # As it is dialled at home, it stands in a number without its first digit.
    return Q(phone_number__contains=ends[-1] if ends else digits)
