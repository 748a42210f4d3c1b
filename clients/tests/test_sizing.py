"""The size of an audience: exact where clients are few, estimated where they are many."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clients import sizing, tally
from clients.models import Client
from clients.sizing import audience_of

pytestmark = pytest.mark.django_db

MakeClients = Callable[..., list[Client]]


@pytest.fixture
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have more than 200 clients be too many to be counted, and be of too many kinds."""
    monkeypatch.setattr(tally, "MOST_KINDS", 0)
    monkeypatch.setattr(sizing, "COUNTED", 200)
    monkeypatch.setattr(sizing, "SAMPLE", 200)
    monkeypatch.setattr(sizing, "SLICES", 20)
    monkeypatch.setattr(sizing, "RARE", 20)
    monkeypatch.setattr(sizing, "SOME", 30)


def test_few_clients_are_counted(make_clients: MakeClients) -> None:
    make_clients(3, tag="vip", timezone="Europe/Moscow")
    make_clients(2, operator_code="926")

    everyone, vip = audience_of({}), audience_of({"tag": "vip"})

    assert (everyone.total, everyone.everyone, everyone.is_estimate) == (5, 5, False)
    assert everyone.by("operator_code") == {"999": 3, "926": 2}
    assert everyone.by("tag") == {"vip": 3, "": 2}
    assert everyone.by("timezone") == {"Europe/Moscow": 3, "UTC": 2}
    assert (vip.total, vip.everyone, len(vip.some)) == (3, 5, 3)
    assert audience_of({"tag": "nobody"}).total == 0


def test_there_may_be_no_clients_at_all() -> None:
    assert audience_of({}) == sizing.Audience(Counter(), 0, False, [])


@pytest.mark.usefixtures("_few_are_many")
def test_many_clients_are_tallied_and_some_of_them_come_from_a_sample(
    make_clients: MakeClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "MOST_KINDS", 2)
    for _ in range(100):
        make_clients(15, tag="vip")
        make_clients(5, timezone="Europe/Moscow")

    vip = audience_of({"tag": "vip"})

    assert (vip.total, vip.everyone, vip.is_estimate) == (1_500, 2_000, False)
    assert 20 <= len(vip.some) <= 60
    assert max(vip.some) - min(vip.some) > 1_500
    assert not Client.objects.filter(pk__in=vip.some).exclude(tag="vip").exists()


@pytest.mark.usefixtures("_few_are_many")
def test_of_many_clients_a_sample_is_scaled_up(make_clients: MakeClients) -> None:
    for _ in range(100):
        make_clients(15, tag="vip")
        make_clients(5, timezone="Europe/Moscow")

    everyone, vip = audience_of({}), audience_of({"tag": "vip"})

    assert everyone.is_estimate
    assert vip.is_estimate
    assert everyone.total == pytest.approx(2_000, rel=0.02)
    assert vip.total == pytest.approx(1_500, rel=0.15)
    assert everyone.by("timezone")["Europe/Moscow"] == pytest.approx(500, rel=0.35)
    assert 30 <= len(vip.some) <= 60
    assert not Client.objects.filter(pk__in=vip.some).exclude(tag="vip").exists()


@pytest.mark.usefixtures("_few_are_many")
def test_gaps_between_ids_are_no_clients(make_clients: MakeClients) -> None:
    clients = make_clients(2_000)
    Client.objects.filter(pk__in=[each.pk for each in clients[300:1700]]).delete()

    assert audience_of({}).total == pytest.approx(600, rel=0.1)


@pytest.mark.usefixtures("_few_are_many")
def test_few_among_many_are_counted(make_clients: MakeClients) -> None:
    make_clients(1_000)
    make_clients(7, tag="rare")
    make_clients(1_000)

    found = audience_of({"tag": "rare"})

    assert (found.total, found.is_estimate, len(found.some)) == (7, False, 7)
    assert found.everyone == pytest.approx(2_007, rel=0.02)


@pytest.mark.postgres
@pytest.mark.usefixtures("_few_are_many")
def test_what_is_not_found_in_a_moment_is_estimated(
    make_clients: MakeClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_clients(1_000)
    make_clients(7, tag="rare")
    monkeypatch.setattr(sizing, "_kinds", slow_unless_sampled(sizing._kinds))

    found = audience_of({"tag": "rare"})

    assert found.is_estimate
    assert connection.cursor().execute("SHOW statement_timeout").fetchone() == ("0",)
    assert Client.objects.count() == 1_007  # The transaction goes on.


def slow_unless_sampled(kinds: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the function, with a statement before it that takes as long as a large table."""

    def slow(matching: Any) -> Any:
        if "LIMIT" in str(matching.query):
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(60)")
        return kinds(matching)

    return slow


@pytest.mark.usefixtures("_few_are_many")
def test_the_number_of_statements_is_bounded(make_clients: MakeClients) -> None:
    make_clients(500, tag="vip")

    with CaptureQueriesContext(connection) as queries:
        audience_of({"tag": "vip"})

    assert len(queries) <= 6
