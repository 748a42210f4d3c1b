"""The timelines of mailings over REST."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from mailings.models import Mailing
from messages_app.models import Message, Posting
from tests.rest import iso, refusal

MAILINGS = "/api/v1/mailings/"
DAY = timedelta(days=1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def mailing(make_mailing: Callable[..., Mailing], make_message: Callable[..., Message]) -> Mailing:
    """Return a mailing with three pending messages and one that failed."""
    mailing = make_mailing()
    for _ in range(3):
        make_message(mailing=mailing)
    make_message(mailing=mailing, status="fail", error_code="rejected", next_attempt_at=None)
    return mailing


def test_a_timeline_tells_what_happened_when(api: APIClient, mailing: Mailing) -> None:
    Posting.objects.update(at="2026-03-01T10:20:30Z")
    expected = {
        "step": "minute",
        "results": [
            {"at": "2026-03-01T10:20:00Z", "pending": 3, "success": 0, "fail": 1, "retrying": 0}
        ],
    }
    assert api.get(f"{MAILINGS}{mailing.pk}/timeline/").json() == expected
    period = {"since": "2026-03-01T10:00:00Z", "until": "2026-03-01T12:00:00Z"}
    assert api.get(f"{MAILINGS}timeline/", period).json() == expected
    by_day = api.get(f"{MAILINGS}{mailing.pk}/timeline/", {"step": "day"}).json()
    assert (by_day["step"], by_day["results"][0]["at"]) == ("day", "2026-03-01T00:00:00Z")


def test_of_all_mailings_it_is_the_last_day(
    api: APIClient, mailing: Mailing, make_message: Callable[..., Message], now: datetime
) -> None:
    Posting.objects.filter(after__startswith="fail").update(at=now - 3 * DAY / 2)
    told = api.get(f"{MAILINGS}timeline/").json()
    assert told["step"] == "hour"
    assert [(point["pending"], point["fail"]) for point in told["results"]] == [(3, 0)]
    assert api.get(f"{MAILINGS}timeline/", {"until": "0001-01-01T00:00:00Z"}).status_code == 200
    earlier = api.get(f"{MAILINGS}timeline/", {"until": iso(now - DAY)}).json()
    assert [(point["pending"], point["fail"]) for point in earlier["results"]] == [(0, 1)]


def test_a_mailing_without_messages_has_an_empty_one(
    api: APIClient, make_mailing: Callable[..., Mailing]
) -> None:
    told = api.get(f"{MAILINGS}{make_mailing().pk}/timeline/").json()
    assert told == {"step": "minute", "results": []}
    assert api.get(f"{MAILINGS}99/timeline/").status_code == 404


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ({"step": "second"}, "step", "invalid_choice"),
        ({"since": "yesterday"}, "since", "invalid"),
        ({"until": "2026-03-01T10:00:00"}, "until", "naive"),
        ({"steps": "hour"}, "steps", "unknown_parameter"),
        ({"since": "2101-01-01T00:00:00Z"}, "since", "since_after_until"),
        ({"since": "2001-01-01T00:00:00Z"}, "since", "span_too_long"),
        (
            {"since": "2026-03-01T00:00:00Z", "until": "2026-03-03T00:00:00Z", "step": "minute"},
            "since",
            "span_too_long",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(
    api: APIClient, mailing: Mailing, query: dict[str, Any], field: str, code: str
) -> None:
    for path in ("timeline/", f"{mailing.pk}/timeline/"):
        assert refusal(api.get(f"{MAILINGS}{path}", query)) == (400, {field: code})


def test_it_reads_no_message(
    api: APIClient, mailing: Mailing, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(25) as queries:
        assert api.get(f"{MAILINGS}{mailing.pk}/timeline/").json()["results"]
    assert not [query for query in queries if '"messages_app_message"' in query["sql"]]
