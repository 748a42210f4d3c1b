"""A mailing's filters select clients."""

import pytest
from django.db.models import Q

from clients.audience import Filters, matching
from clients.models import Client

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _clients() -> None:
    for number, code, tag, zone in (
        ("79991234567", "999", "vip", "Europe/Moscow"),
        ("79991234568", "999", "new", "Asia/Omsk"),
        ("79161234567", "916", "vip", "Asia/Omsk"),
        ("79261234567", "926", "", "UTC"),
    ):
        Client.objects.create(phone_number=number, operator_code=code, tag=tag, timezone=zone)


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({}, {"79991234567", "79991234568", "79161234567", "79261234567"}),
        ({"tag": "vip"}, {"79991234567", "79161234567"}),
        ({"operator_code": ["916", "926", "000"]}, {"79161234567", "79261234567"}),
        ({"timezone": "Asia/Omsk"}, {"79991234568", "79161234567"}),
        ({"operator_code": "999", "tag": ["vip", "new"], "timezone": "Asia/Omsk"}, {"79991234568"}),
        ({"tag": ""}, {"79261234567"}),
        ({"tag": []}, set()),
        ({"tag": "VIP"}, set()),
    ],
)
def test_values_of_a_key_are_alternatives_and_keys_add_up(
    filters: Filters, numbers: set[str]
) -> None:
    selected = Client.objects.matching(filters)
    assert set(selected.values_list("phone_number", flat=True)) == numbers


def test_no_filters_select_everyone_also_beside_another_condition() -> None:
    everyone = Client.objects.filter(matching({}) | Q(tag="vip"))
    assert everyone.count() == 4
    nobody = Client.objects.filter(~matching({}) & ~Q(tag="vip"))
    assert nobody.count() == 0
