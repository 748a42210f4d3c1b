"""The tally has the number of clients of each kind at any moment, whoever writes them."""

from collections import Counter
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, transaction

from clients import tally
from clients.audience import Filters
from clients.imports.saving import save
from clients.models import Client, Tally, TallyChange

pytestmark = pytest.mark.django_db

MakeClients = Callable[..., list[Client]]
KIND = ("999", "", "UTC")


def folded() -> dict[tuple[str, ...], int]:
    rows = Tally.objects.values_list("operator_code", "tag", "timezone", "number")
    return {tuple(kind): number for *kind, number in rows}


def import_rows(*rows: tuple[str, str]) -> None:
    """Save clients as imports do: numbers with tags, of which some are known."""
    save([(number, "999", tag, "UTC", None) for number, tag in rows], {"tag": None})


def test_a_client_is_tallied_however_it_is_written(make_clients: MakeClients) -> None:
    first, second = make_clients(2)
    assert tally.kinds_of({}) == {KIND: 2}
    first.tag = "vip"
    first.save()
    assert tally.kinds_of({}) == {KIND: 1, ("999", "vip", "UTC"): 1}
    Client.objects.update(timezone="Asia/Omsk")
    assert tally.kinds_of({}) == {("999", "", "Asia/Omsk"): 1, ("999", "vip", "Asia/Omsk"): 1}
    Client.objects.update(external_id=None)
    import_rows((second.phone_number, "new"), ("79000000001", "new"), ("79000000002", ""))
    assert tally.sums_by("tag", tally.kinds_of({}) or Counter()) == {"vip": 1, "new": 2, "": 1}
    again = Client(phone_number="79000000001", operator_code="999")
    other = Client(phone_number="79000000003", operator_code="999")
    Client.objects.bulk_create([again, other], ignore_conflicts=True)
    assert tally.number_of({"tag": ""}) == 2
    second.delete()
    Client.objects.filter(tag="vip").delete()
    assert tally.number_of({}) == 3
    assert tally.differences() == {}


@pytest.mark.parametrize("is_folded", [False, True])
@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"tag": "vip"},
        {"tag": ["vip", ""], "operator_code": "999"},
        {"timezone": ["Asia/Omsk", "Somewhere/Else"]},
        {"tag": "nobody's"},
    ],
)
def test_it_selects_as_a_mailing_does(
    make_clients: MakeClients, filters: Filters, is_folded: bool
) -> None:
    make_clients(3, tag="vip")
    make_clients(2, tag="vip", operator_code="926", timezone="Asia/Omsk")
    make_clients(1)
    if is_folded:
        tally.fold()

    number = Client.objects.matching(filters).count()

    assert tally.number_of(filters) == number
    assert (tally.kinds_of(filters) or Counter()).total() == number


@pytest.mark.postgres
def test_folding_leaves_one_row_for_each_kind_and_none_for_nobody(
    make_clients: MakeClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "BATCH", 2)
    for tag in ("vip", "", "vip", "new"):
        make_clients(2, tag=tag)
    tally.fold()
    assert folded() == {KIND: 2, ("999", "vip", "UTC"): 4, ("999", "new", "UTC"): 2}
    Client.objects.filter(tag="vip").update(tag="new")
    tally.fold()
    assert folded() == {KIND: 2, ("999", "new", "UTC"): 6}
    assert not TallyChange.objects.exists()


def test_what_something_else_has_changed_is_found_and_corrected(make_clients: MakeClients) -> None:
    make_clients(2)
    make_clients(1, tag="vip")
    tally.fold()
    Tally.objects.filter(tag="").delete()
    Tally.objects.update(number=5)
    wrong = {KIND: 2, ("999", "vip", "UTC"): -4}

    assert tally.differences() == wrong
    assert tally.correct() == wrong
    assert tally.kinds_of({}) == {KIND: 2, ("999", "vip", "UTC"): 1}
    tally.fold()
    assert tally.differences() == {}


def test_the_migration_counts_who_was_there_before(make_clients: MakeClients) -> None:
    make_clients(2)
    Tally.objects.all().delete()
    TallyChange.objects.all().delete()
    make_clients(1)
    migration: Any = import_module("clients.migrations.0012_tally_of_all")

    migration.count(None, SimpleNamespace(connection=connection))

    assert tally.kinds_of({}) == {KIND: 3}


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres
def test_an_emptied_table_is_tallied_so(make_clients: MakeClients) -> None:
    make_clients(2)
    tally.fold()
    make_clients(1)
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE clients_client CASCADE")

    assert tally.kinds_of({}) == {}


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres
def test_four_writers_and_two_folders_lose_nothing_and_wait_for_nobody(
    make_clients: MakeClients, at_once: Callable[..., list[Any]]
) -> None:
    seen: set[int] = set()

    def write() -> None:
        for number in range(15):
            with transaction.atomic():  # Ten more, or none: nobody sees anything between.
                clients = make_clients(15, tag=f"tag{number % 3}")
                some = Client.objects.filter(pk__in=[each.pk for each in clients[:5]])
                some.update(tag="new")
                some.delete()

    def fold() -> None:
        while len(seen) < 2 or tally.number_of({}) < 4 * 15 * 10:
            tally.fold()
            seen.add(tally.number_of({}))

    at_once(write, write, write, write, fold, fold)

    assert {number % 10 for number in seen} == {0}
    assert tally.differences() == {}
    tally.fold()
    assert folded() == tally.kinds_of({})
    assert sum(folded().values()) == 4 * 15 * 10
