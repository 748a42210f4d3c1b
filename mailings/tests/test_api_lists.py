"""Lists and counts of mailings over REST."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from clients.models import Client
from mailings import closing
from mailings.models import Mailing
from messages_app.models import Message
from tests.rest import iso, refusal

MAILINGS = "/api/v1/mailings/"
STATS = f"{MAILINGS}stats/"
DAY = timedelta(days=1)
NONE = {"pending": 0, "success": 0, "fail": 0, "total": 0}


@pytest.fixture
def three_mailings(db: None, make_mailing: Callable[..., Mailing], now: datetime) -> None:
    """Save one that is over, one that runs and one that waits; each lasts a day."""
    for text, status, start in (
        ("Was", "finished", now - 2 * DAY),
        ("Is", "running", now),
        ("Will be", "scheduled", now + 2 * DAY),
    ):
        make_mailing(text=text, status=status, start_time=start, stop_time=start + DAY)


@pytest.mark.usefixtures("three_mailings")
@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ({}, ["Will be", "Is", "Was"]),
        ({"status": "running"}, ["Is"]),
        ({"status": ["running", "scheduled"]}, ["Will be", "Is"]),
        ({"search": "BE"}, ["Will be"]),
        ({"search": "%"}, []),
        ({"start_time_after": -0.5}, ["Will be", "Is"]),
        ({"start_time_before": 0.5}, ["Is", "Was"]),
        ({"stop_time_after": 0.5}, ["Will be", "Is"]),
        ({"stop_time_before": 1.5, "status": "running"}, ["Is"]),
        ({"start_time_after": 0, "start_time_before": 2}, ["Is"]),
    ],
)
def test_a_list_has_the_mailings_asked_for_newest_first(
    api: APIClient, now: datetime, query: dict[str, Any], texts: list[str]
) -> None:
    """Times are told in days from now."""
    written = {
        name: iso(now + value * DAY) if "time" in name else value for name, value in query.items()
    }

    answer = api.get(MAILINGS, written)

    assert [mailing["text"] for mailing in answer.json()["results"]] == texts


@pytest.mark.parametrize("path", [MAILINGS, STATS])
@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("state=running", "state"),
        ("status=over", "status"),
        ("status=%00", "status"),
        *((f"{name}=", name) for name in ("status", "search", "stop_time_before", "cursor")),
        ("search=a&search=b", "search"),
        *((f"{name}=1&{name}=2", name) for name in ("stop_time_before", "page_size", "cursor")),
        ("search=%00", "search"),
        ("start_time=2030-01-01T00:00:00Z", "start_time"),
        ("start_time_after=soon", "start_time_after"),
        ("start_time_after=2030-01-01", "start_time_after"),
        ("start_time_after=2030-01-01T00:00:00", "start_time_after"),
        ("start_time_before=2030-02-31T00:00:00Z", "start_time_before"),
        ("stop_time_after=0001-01-01T00:00:00%2B10:00", "stop_time_after"),
        ("stop_time_before=9999-12-31T23:59:59-10:00", "stop_time_before"),
        ("stop_time_before=%00", "stop_time_before"),
    ],
)
def test_a_parameter_that_means_nothing_is_refused(
    api: APIClient, path: str, query: str, name: str
) -> None:
    status, reasons = refusal(api.get(f"{path}?{query}"))

    assert (status, list(reasons)) == (400, [name])


def test_a_mailing_says_how_many_of_its_messages_are_where(
    api: APIClient, make_mailing: Callable[..., Mailing], make_message: Callable[..., Message]
) -> None:
    mailing = make_mailing()
    for fields in (
        {},
        {"status": "success", "next_attempt_at": None},
        {"status": "fail", "error_code": "throttled"},
        {"status": "fail", "error_code": "rejected", "next_attempt_at": None},
    ):
        make_message(mailing=mailing, **fields)
    make_message()

    answer = api.get(f"{MAILINGS}{mailing.pk}/stats/")

    assert answer.json() == {
        "id": mailing.pk,
        "status": "running",
        "start_time": iso(mailing.start_time),
        "stop_time": iso(mailing.stop_time),
        "last_run_time": None,
        "stats": {"pending": 1, "success": 1, "fail": 2, "total": 4},
        "retrying": 1,
        "is_complete": False,
        "error_codes": {"throttled": 1, "rejected": 1},
        "text_versions": {"0": 1},
        "timezones": {"UTC": {"pending": 1, "success": 1, "fail": 2, "total": 4}},
    }


def test_counts_of_nothing_are_zeros(api: APIClient, make_mailing: Callable[..., Mailing]) -> None:
    links = dict.fromkeys(("next", "previous", "next_cursor", "previous_cursor"))
    assert api.get(STATS).json() == {**links, "totals": NONE, "results": []}

    mailing = make_mailing()

    assert api.get(f"{MAILINGS}{mailing.pk}/stats/").json()["stats"] == NONE
    assert [result["stats"] for result in api.get(STATS).json()["results"]] == [NONE]


def test_counts_by_time_zone_are_told_of_one_mailing_and_not_of_lists(
    api: APIClient,
    make_mailing: Callable[..., Mailing],
    make_message: Callable[..., Message],
    make_clients: Callable[..., list[Client]],
) -> None:
    mailing = make_mailing()
    for client in make_clients(2, timezone="Europe/Moscow"):
        make_message(mailing=mailing, client=client)
    make_message(mailing=mailing, client=None, status="success", next_attempt_at=None)

    answer = api.get(f"{MAILINGS}{mailing.pk}/stats/").json()

    assert answer["timezones"] == {
        "Europe/Moscow": {**NONE, "pending": 2, "total": 2},
        "unknown": {**NONE, "success": 1, "total": 1},
    }
    assert answer["stats"] == {"pending": 2, "success": 1, "fail": 0, "total": 3}
    assert "timezones" not in api.get(STATS).json()["results"][0]


@pytest.mark.parametrize("pk", ["999", "99999999999999999999", "0", "-1", "abc"])
def test_there_are_no_counts_of_a_mailing_that_does_not_exist(api: APIClient, pk: str) -> None:
    assert refusal(api.get(f"{MAILINGS}{pk}/stats/")) == (404, {None: "not_found"})


def test_a_closed_mailing_answers_with_the_counts_it_was_closed_with(
    api: APIClient,
    make_mailing: Callable[..., Mailing],
    make_message: Callable[..., Message],
    now: datetime,
) -> None:
    mailing = make_mailing(stop_time=now - timedelta(minutes=1))
    make_message(mailing=mailing, status="success", next_attempt_at=None)
    make_message(mailing=mailing)
    closing.finish_mailing(mailing.pk, now=now)
    Message.objects.all().delete()
    counts = {"pending": 0, "success": 1, "fail": 1, "total": 2}

    page = api.get(STATS).json()

    assert (page["results"][0]["stats"], page["totals"]) == (counts, counts)
    assert api.get(f"{MAILINGS}{mailing.pk}/stats/").json()["stats"] == counts
    assert page["results"][0]["status"] == "finished"


def test_totals_are_of_all_mailings_whatever_the_page_shows(
    api: APIClient, make_mailing: Callable[..., Mailing], make_message: Callable[..., Message]
) -> None:
    for _ in range(3):
        make_message(mailing=make_mailing())
    make_mailing(status="finished", success_count=5, fail_count=7, ledger_at=None)
    totals = {"pending": 3, "success": 5, "fail": 7, "total": 15}

    first = api.get(STATS, {"page_size": 3}).json()
    second = api.get(first["next"]).json()
    selected = api.get(STATS, {"status": "finished"}).json()

    assert [len(page["results"]) for page in (first, second, selected)] == [3, 1, 1]
    assert [page["totals"] for page in (first, second, selected)] == [totals] * 3
    shown = [result["stats"] for page in (first, second) for result in page["results"]]
    assert {name: sum(stats[name] for stats in shown) for name in NONE} == totals


@pytest.mark.parametrize("closed", [False, True])
def test_the_number_of_queries_does_not_grow_with_the_number_of_mailings(
    api: APIClient,
    make_mailing: Callable[..., Mailing],
    make_message: Callable[..., Message],
    closed: bool,
) -> None:
    counts = {"success_count": 1, "fail_count": 0, "ledger_at": None} if closed else {}

    def spent(path: str) -> int:
        with CaptureQueriesContext(connection) as context:
            assert api.get(path).status_code == 200
        return len(context)

    make_message(mailing=make_mailing(**counts))
    few = [spent(STATS), spent(MAILINGS)]
    for _ in range(49):
        make_message(mailing=make_mailing(**counts))

    assert [spent(STATS), spent(MAILINGS)] == few
    assert len(api.get(STATS).json()["results"]) == 50
    assert few == [7 if closed else 4, 1]
