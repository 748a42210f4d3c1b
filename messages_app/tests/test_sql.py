"""Statements written by hand go together, on either database."""

from collections.abc import Sequence

import pytest
from django.db import DatabaseError, connection, transaction

from messages_app.models import Home, LedgerHead
from messages_app.sql import Row, Statement, index_scans_only, run, run_by_index

pytestmark = pytest.mark.django_db


def planner_settings() -> list[Sequence[Row]]:
    names = ("enable_seqscan", "jit")
    return [*run(*(Statement(f"SELECT current_setting('{name}')") for name in names))]


def test_each_has_its_parameters_and_its_rows() -> None:
    LedgerHead.objects.update_or_create(pk=1, defaults={"position": 0})
    first = Statement("SELECT %s + 1", [1])
    change = Statement("UPDATE messages_app_ledgerhead SET position = %s", [7])
    many = Statement("SELECT 'a' UNION ALL SELECT %s ORDER BY 1", ["50 %; --"])
    assert run(first, change, many) == [[(2,)], [], [("50 %; --",), ("a",)]]
    assert LedgerHead.objects.get().position == 7
    assert run() == []


@pytest.mark.django_db(transaction=True)
def test_they_are_done_together_or_not_at_all() -> None:
    Home.objects.create(pk=1, fingerprint="here", since="2026-01-01T00:00Z")
    change = Statement("UPDATE messages_app_home SET fingerprint = 'there'")
    with pytest.raises(DatabaseError), transaction.atomic():
        run(change, Statement("SELECT nonsense"))
    assert Home.objects.get().fingerprint == "here"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_rows_are_found_by_index_until_the_transaction_ends() -> None:
    before = planner_settings()
    with transaction.atomic():
        assert run_by_index(Statement("SELECT 1")) == [[(1,)]]
        assert planner_settings() == [[("off",)], [("off",)]]
    assert planner_settings() == before
    with index_scans_only():
        assert planner_settings() == [[("off",)], [("off",)]]
    assert planner_settings() == before
    assert connection.get_autocommit()
