"""What lists and counts have the database read: never much, whatever is asked of many rows.

The filters are those of the filter sets: one that has no values here fails the test.
"""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import combinations, pairwise
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_filters import Filter
from rest_framework.test import APIClient

from clients.api.filters import ClientFilterSet
from mailing_manager_project.metrics.collector import Collector
from mailings.models import Mailing
from messages_app.api import filters
from messages_app.api.filters import MessageFilterSet
from messages_app.models import Balance, Line, Message
from toolkit.rest.filters import SeveralFilter, WalkedFilterSet

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]

CLIENTS = 100_000
MESSAGES = 300_000
MAILINGS = 30
REACH = 3_000  # rows that a page looks at here
# Rows that a statement may read. More than it looks at: where those that a filter selects lie close
# together, Postgres rather reads all rows between them than fetch each one by an index. One client
# in 20 has an operator code.
MOST = 21 * REACH
MOST_TOGETHER = 75 * REACH  # by all statements of an answer
LARGE = ("clients_client", "messages_app_message")

SENT, SENT_BESIDE = {*filters.SENT}, {*filters.SENT_BESIDE}
COUNTED = {"mailing", "status", "error_code"}

Parameter = tuple[str, str]

# Of each filter: values that many rows have, that few have, that none has.
VALUES: dict[str, dict[str, list[str]]] = {
    "clients": {
        "phone_number": ["7", "79", "79000000017", "79000000017999", "9"],
        "operator_code": ["900", "999", "1"],
        "tag": ["vip", "rare", "nobody"],
        "timezone": ["Europe/Moscow", "Asia/Omsk", "Europe/Paris"],
        "external_id": ["crm-17", "nothing"],
        "created_after": ["2030-01-02T02:00:00Z", "2100-01-01T00:00:00Z"],
        "created_before": ["2030-01-01T00:10:00Z"],
        # Who was added first was changed last: the order of the list does not help.
        "updated_after": ["2030-02-01T00:00:00Z", "2030-02-02T03:00:00Z"],
        "updated_before": ["2030-02-01T00:10:00Z"],
        "search": ["79", "000017", "rar", "nothing"],
    },
    "messages": {
        "id": ["300000", "999999999"],
        "mailing": ["1", "30"],
        "client": ["1", "999999999"],
        "phone_number": ["79000000017", "79261234567"],
        "status": ["pending", "success", "fail"],
        "error_code": ["rejected", "unconfirmed", "expired"],
        "created_after": ["2030-01-01T02:00:00Z", "2100-01-01T00:00:00Z"],
        "created_before": ["2030-01-01T00:10:00Z"],
        "sent_after": ["2100-01-01T00:00:00Z"],
        "sent_before": ["2030-01-01T00:10:00Z"],
        "search": ["000017", "answer", "nothing"],
    },
}
FILTERS: dict[str, type[WalkedFilterSet]] = {
    "clients": ClientFilterSet,
    "messages": MessageFilterSet,
}


@pytest.fixture
def many(make_mailing: Callable[..., Mailing]) -> list[int]:
    """Save many clients and messages; return the ids of mailings, of which only the last is new.

    Nearly all is accepted; a hundredth was rejected, three of the first mailing are unconfirmed.
    """
    mailings = [make_mailing().pk for _ in range(MAILINGS)]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO clients_client
                (id, phone_number, operator_code, tag, timezone, external_id,
                 created_at, updated_at)
            SELECT n, (79000000000 + n)::text, (900 + n %% 20)::text,
                CASE WHEN n = 17 THEN 'rare' WHEN n %% 3 = 0 THEN 'vip' ELSE '' END,
                CASE WHEN n %% 1000 = 0 THEN 'Asia/Omsk' ELSE 'Europe/Moscow' END, 'crm-' || n,
                timestamptz '2030-01-01 00:00Z' + n * interval '1 second',
                timestamptz '2030-02-01 00:00Z' + (100000 - n) * interval '1 second'
            FROM generate_series(1, %s) AS n
            """,
            [CLIENTS],
        )
        cursor.execute(
            """
            INSERT INTO messages_app_message
                (id, mailing_id, client_id, status, created_at, attempts, error_code, error,
                 phone_number, is_manual, timezone)
            SELECT n, %s + (n - 1) / 10000, 1 + (n * 10 + n / 10000) %% 100000,
                CASE WHEN n <= 3 OR n %% 100 = 0 THEN 'fail' ELSE 'success' END,
                timestamptz '2030-01-01 00:00Z' + n * interval '1 second', 1,
                CASE WHEN n <= 3 THEN 'unconfirmed' WHEN n %% 100 = 0 THEN 'rejected' ELSE '' END,
                CASE WHEN n <= 3 THEN 'No answer' ELSE '' END,
                (79000000001 + (n * 10 + n / 10000) %% 100000)::text, false, 'Europe/Moscow'
            FROM generate_series(1, %s) AS n
            """,
            [mailings[0], MESSAGES],
        )
        cursor.execute(
            """
            INSERT INTO messages_app_balance (mailing_id, account, number)
            SELECT COALESCE(mailing_id, 0),
                status || '|' || error_code || '|1|Europe/Moscow', count(*)
            FROM messages_app_message GROUP BY GROUPING SETS (
                (mailing_id, status, error_code), (status, error_code)
            )
            """
        )
        cursor.execute("ANALYZE clients_client, messages_app_message, mailings_mailing")
    return mailings


def questions(room: str, mailings: list[int]) -> Iterator[list[Parameter]]:
    """Yield what can be asked: each value of each filter, and all pairs of different filters."""
    named = [(name, value) for name, values in VALUES[room].items() for value in values]
    mailing = {"1": str(mailings[0]), "30": str(mailings[-1])}
    single = [(n, mailing.get(v, v) if n == "mailing" else v) for n, v in named]
    yield from ([each] for each in single)
    yield from ([*pair] for pair in combinations(single, 2) if pair[0][0] != pair[1][0])
    several = {name for name, each in FILTERS[room].base_filters.items() if _is_several(each)}
    yield from ([a, b] for a, b in pairwise(single) if a[0] == b[0] and a[0] in several)


def _is_several(each: Filter) -> bool:
    return isinstance(each, SeveralFilter)


def rows_read(statement: str) -> int:
    """Return how many rows of a large table one of a statement's steps reads, at most."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}")
        (plan,) = cursor.fetchone()
    root = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return max((_read_by(node) for node in _nodes(root)), default=0)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _read_by(node: dict[str, Any]) -> int:
    is_index = node["Node Type"] == "Bitmap Index Scan"
    if node.get("Relation Name") not in LARGE and not is_index:
        return 0
    removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    each = node["Actual Rows"] + sum(node.get(name, 0) for name in removed)
    return int(each * node["Actual Loops"])


def spent(api: APIClient, path: str, question: list[Parameter]) -> tuple[int, int, Any]:
    """Return the most rows that a statement reads, those of all statements, and the answer."""
    query: dict[str, list[str]] = {}
    for name, value in question:
        query.setdefault(name, []).append(value)
    with CaptureQueriesContext(connection) as context:
        answer = api.get(path, query)
    statements = [each["sql"] for each in context.captured_queries if each["sql"][:6] == "SELECT"]
    read = [rows_read(sql) for sql in statements if any(table in sql for table in LARGE)]
    return max(read, default=0), sum(read), answer


@pytest.mark.parametrize("room", FILTERS)
def test_every_filter_is_asked_for(room: str) -> None:
    assert set(FILTERS[room].base_filters) == set(VALUES[room])


@pytest.fixture
def short_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pages and counts look at fewer rows, so that a scene of this size shows the bound."""
    for name, rows in {"STRETCH": REACH, "PAGE_REACH": REACH, "COUNT_REACH": 3 * REACH}.items():
        monkeypatch.setattr(f"toolkit.rest.walking.{name}", rows)


@pytest.mark.usefixtures("short_reach")
@pytest.mark.parametrize("room", FILTERS)
def test_no_list_and_no_count_reads_many_rows(api: APIClient, many: list[int], room: str) -> None:
    too_many = {}
    for question in [[], *questions(room, many)]:
        names = {name for name, _ in question}
        is_alone = names & SENT and not names & SENT_BESIDE
        for path in ("", "count/") if len(question) < 2 else ("",):
            most, together, answer = spent(api, f"/api/v1/{room}/{path}", question)
            assert answer.status_code == (400 if is_alone else 200), question
            if most > MOST or together > MOST_TOGETHER:
                too_many[path, *question] = (most, together)
    assert too_many == {}


def test_the_metrics_read_hardly_a_row_of_a_large_table(many: list[int]) -> None:
    Mailing.objects.update(last_run_time=timezone.now())
    minute_ago = timezone.now() - timedelta(minutes=1)
    some = Message.objects.filter(pk__in=range(0, MESSAGES, 1_000))
    some.schedule(minute_ago, status="pending", error_code="")
    Line.objects.bulk_create(Line(mailing_id=pk, passed=CLIENTS, is_empty=True) for pk in many)
    Balance.objects.filter(account__startswith="success").update(account="pending||0|")
    with CaptureQueriesContext(connection) as context:
        families = {family.name: family for family in Collector().collect()}
    assert len(families["mailing_manager_mailing_pending"].samples) == MAILINGS
    assert families["mailing_manager_lag_seconds"].samples[0].value >= 60
    statements = [each["sql"] for each in context.captured_queries if each["sql"][:6] == "SELECT"]
    read = [rows_read(sql) for sql in statements if any(table in sql for table in LARGE)]
    assert max(read) < 100
    assert len(statements) < 10 * MAILINGS


def test_no_counts_by_status_read_many_rows(api: APIClient, many: list[int]) -> None:
    too_many = {}
    for question in [[], *questions("messages", many)]:
        if len(question) == 2 and not {name for name, _ in question} <= COUNTED:
            continue
        most, _, answer = spent(api, "/api/v1/messages/stats/", question)
        names = {name for name, _ in question}
        is_too_wide = names - COUNTED and not names & {"client", "phone_number", "id"}
        assert answer.status_code == (400 if is_too_wide else 200), question
        if most > 2_000:
            too_many[*question,] = most
    assert too_many == {}


def test_a_rare_row_is_found_at_once_among_many(api: APIClient, many: list[int]) -> None:
    def found(**query: Any) -> list[int]:
        return [row["id"] for row in api.get("/api/v1/clients/", query).json()["results"]]

    assert found(tag="rare") == found(phone_number="79000000017") == [17]
    assert found(tag="vip", timezone="Asia/Omsk") == [
        number for number in range(CLIENTS, 0, -1) if number % 3000 == 0
    ]
