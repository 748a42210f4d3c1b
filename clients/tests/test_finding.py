"""A person is found by whatever somebody has at hand, and by looking at few rows."""

from collections.abc import Callable

import pytest
from django.db import connection

from clients.finding import find_clients, find_tags
from clients.models import Client

pytestmark = pytest.mark.django_db

NUMBERS = ("79991930429", "79261930429", "442071930428", "79990429000")


@pytest.fixture
def people() -> None:
    for number in NUMBERS:
        Client.objects.create(phone_number=number)


def numbers(text: str, most: int = 8) -> list[str]:
    return [client.phone_number for client in find_clients(text, most=most)]


@pytest.mark.parametrize(
    "text",
    [
        "+7 (999) 193-04-29",
        "8 (999) 193-04-29",
        "89991930429",
        "9991930429",
        "tel:+79991930429",
        "+7\u00a0999\u2011193\u201304\u201329",
        "(999) 193 04 29",
    ],
)
def test_a_client_is_found_by_any_form_of_the_number(people: None, text: str) -> None:
    assert numbers(text) == ["79991930429"]


def test_last_digits_find_all_who_have_them_and_then_those_that_begin_so(people: None) -> None:
    assert sorted(numbers("0429")) == ["79261930429", "79991930429"]
    assert numbers("020 7193 0428") == ["442071930428"]
    assert numbers("7999") == ["79990429000", "79991930429"]
    assert numbers("0429", most=1) == ["79261930429"]


@pytest.mark.parametrize("text", ["429", "", "+", "nobody", "0430", "\udcff", "9" * 300])
def test_too_few_digits_and_what_is_no_number_find_nobody(people: None, text: str) -> None:
    assert numbers(text) == []


def test_last_digits_are_looked_up_in_their_index(people: None) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
    plan = Client.objects.with_last_digits("0429")[:8].explain()
    assert "client_backwards_idx" in plan
    assert "SCAN clients_client" not in plan  # of SQLite, without an index


def test_a_number_of_nines_is_the_end_of_others(make_clients: Callable[..., list[Client]]) -> None:
    make_clients(1, phone_number="79999999999")
    assert numbers("9999") == ["79999999999"]


def test_tags_are_found_by_their_beginning(make_clients: Callable[..., list[Client]]) -> None:
    make_clients(2, tag="vip")
    make_clients(1, tag="vip-2030")
    make_clients(1, tag="wide")
    assert find_tags("vi", most=8) == ["vip", "vip-2030"]
    assert find_tags("vi", most=1) == ["vip"]
    assert find_tags("x", most=8) == find_tags("", most=8) == []
