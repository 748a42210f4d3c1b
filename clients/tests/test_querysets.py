"""A mailing's filters select clients."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Q

from clients.audience import Filters, matching, matching_sql
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


SELECTED: list[tuple[Any, set[str]]] = [
    ({}, {"79991234567", "79991234568", "79161234567", "79261234567"}),
    ({"tag": "vip"}, {"79991234567", "79161234567"}),
    ({"operator_code": ["916", "926", "000"]}, {"79161234567", "79261234567"}),
    ({"timezone": "Asia/Omsk"}, {"79991234568", "79161234567"}),
    ({"operator_code": "999", "tag": ["vip", "new"], "timezone": "Asia/Omsk"}, {"79991234568"}),
    ({"tag": ""}, {"79261234567"}),
    ({"tag": []}, set()),
    ({"tag": "VIP"}, set()),
]
FILTERS = [filters for filters, _ in SELECTED]


@pytest.mark.parametrize(("filters", "numbers"), SELECTED)
def test_values_of_a_key_are_alternatives_and_keys_add_up(
    filters: Filters, numbers: set[str]
) -> None:
    selected = Client.objects.matching(filters)
    assert set(selected.values_list("phone_number", flat=True)) == numbers


@pytest.mark.parametrize("filters", FILTERS)
def test_the_same_is_selected_by_handwritten_sql(filters: Filters) -> None:
    sql, values = matching_sql(filters, "clients_client")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT phone_number FROM clients_client WHERE {sql}", values)
        found = {number for (number,) in cursor.fetchall()}
    selected = Client.objects.matching(filters)
    assert found == set(selected.values_list("phone_number", flat=True))


def test_what_is_no_filter_never_gets_into_sql() -> None:
    with pytest.raises(ValidationError):
        matching_sql({"id = 1 OR tag": "vip"}, "clients_client")


def test_no_filters_select_everyone_also_beside_another_condition() -> None:
    everyone = Client.objects.filter(matching({}) | Q(tag="vip"))
    assert everyone.count() == 4
    nobody = Client.objects.filter(~matching({}) & ~Q(tag="vip"))
    assert nobody.count() == 0
