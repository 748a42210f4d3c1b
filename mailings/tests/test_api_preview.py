"""The preview over REST: whom a mailing reaches, what its text comes to, and what to expect."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from clients.models import Client
from mailings.api.preview import CAUTIONS
from mailings.models import Mailing
from messages_app.ledger.folding import fold_all
from messages_app.models import Heartbeat, Message, MinuteTotal, SendingControl
from messages_app.models.ledger import ALL_MAILINGS
from tests.rest import iso, refusal

PREVIEW = "/api/v1/mailings/preview/"
MAILINGS = "/api/v1/mailings/"
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
MakeClients = Callable[..., list[Client]]
MakeMailing = Callable[..., Mailing]


def warnings_of(api: APIClient, **body: object) -> list[str]:
    answer = api.post(PREVIEW, {"filters": {"tag": "vip"}, **body})
    assert answer.status_code == 200, answer.json()
    found = [warning["code"] for warning in answer.json()["warnings"]]
    assert set(found) <= set(CAUTIONS)  # which the document lists
    assert all(warning["detail"] for warning in answer.json()["warnings"])
    return found


def sent(at: datetime, *numbers: int) -> None:
    """Have so many messages gone out in each minute from a time on."""
    begin = at.replace(second=0, microsecond=0)
    for place, number in enumerate(numbers):
        MinuteTotal.objects.create(
            mailing_id=ALL_MAILINGS,
            began_at=begin + place * MINUTE,
            state="success",
            error_code="",
            number=number,
        )


def test_a_preview_has_exactly_the_documented_fields(
    api: APIClient, make_clients: MakeClients, now: datetime, settings: Settings
) -> None:
    settings.MESSAGE_SENDER_RATE = 10.0
    make_clients(3, tag="vip", timezone="Europe/Moscow")
    make_clients(2, tag="vip", operator_code="926")
    make_clients(1)
    times = {"start_time": iso(now + HOUR), "stop_time": iso(now + 2 * HOUR)}

    answer = api.post(PREVIEW, {**times, "text": "Hello — you", "filters": {"tag": "vip"}})

    assert answer.status_code == 200
    assert answer.json() == {
        "audience": {
            "total": 5,
            "is_estimate": False,
            "by_timezone": {"Europe/Moscow": 3, "UTC": 2},
            "by_operator_code": {"999": 3, "926": 2},
            "by_tag": {"vip": 5},
            "written_to_lately": 0,
        },
        "text": {
            "encoding": "UCS-2",
            "characters": 11,
            "units": 11,
            "parts": 1,
            "forces_ucs2": ["—"],
            "parts_without": 1,
        },
        "forecast": {
            "deliverable": 5,
            "undeliverable": 0,
            "reasons": {"too_late": 0, "window_never_opens": 0},
            "finishes_at": iso(now + HOUR + timedelta(seconds=0.5)),
            "rate_needed": 0.01,
            "rate": 10.0,
            "rate_source": "limit",
            "ahead": 0,
        },
        "warnings": [],
    }
    assert not Mailing.objects.exists()


def test_nothing_at_all_needs_to_be_written_yet(api: APIClient, make_clients: MakeClients) -> None:
    make_clients(4)

    for body in ({}, {"text": ""}, {"status": "draft"}):
        shown = api.post(PREVIEW, body).json()
        assert (shown["audience"]["total"], shown["text"]) == (4, None)
        assert shown["forecast"]["deliverable"] == 4
        assert shown["forecast"]["rate_needed"] is None


def test_it_takes_the_body_of_a_new_mailing(
    api: APIClient, make_clients: MakeClients, now: datetime
) -> None:
    make_clients(1)
    times = {"start_time": iso(now), "stop_time": iso(now + HOUR)}
    hours = {"window_start": "09:00", "window_end": "21:00"}
    body = {**times, **hours, "text": "Hello", "filters": {}}

    assert api.post(MAILINGS, body).status_code == 201
    assert api.post(PREVIEW, body).status_code == 200


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"filter": {}}, {"filter": "unknown_field"}),
        ({"filters": {"tags": "vip"}}, {"filters": "invalid_filters"}),
        ({"window_start": "09:00"}, {"window_end": "window_incomplete"}),
        ({"stop_time": "tomorrow"}, {"stop_time": "invalid"}),
        ({"text": 5}, {"text": "invalid"}),
        (
            {"start_time": "2030-01-02T00:00:00Z", "stop_time": "2030-01-01T00:00:00Z"},
            {"stop_time": "stop_before_start"},
        ),
    ],
)
def test_what_is_written_must_make_sense(
    api: APIClient, body: dict[str, Any], reason: dict[str, str]
) -> None:
    assert refusal(api.post(PREVIEW, body)) == (400, reason)


def test_warnings_of_the_audience(
    api: APIClient, make_clients: MakeClients, make_message: Callable[..., Message], now: datetime
) -> None:
    assert "nobody_matches" in warnings_of(api)
    first, *_ = make_clients(3, tag="vip")
    assert "everyone_matches" in warnings_of(api)
    assert "everyone_matches" in warnings_of(api, filters={})
    make_message(client=make_clients(1)[0])
    assert not {"everyone_matches", "written_to_lately"} & set(warnings_of(api))
    old = make_message(client=first, status="success", next_attempt_at=None)
    Message.objects.filter(pk=old.pk).update(sent_at=now - 25 * HOUR)
    assert "written_to_lately" not in warnings_of(api)
    for _ in range(2):  # Two messages to one client are one client.
        make_message(client=first, status="success", next_attempt_at=None, sent_at=now - HOUR)
    answer = api.post(PREVIEW, {"filters": {"tag": "vip"}}).json()
    assert answer["audience"]["written_to_lately"] == 1
    assert "written_to_lately" in [warning["code"] for warning in answer["warnings"]]


def test_warnings_of_the_text(api: APIClient, make_mailing: MakeMailing, now: datetime) -> None:
    week = timedelta(days=7)
    old = {"start_time": now - 2 * week, "stop_time": now - week - HOUR}
    make_mailing(text="Same", status="finished", **old)
    for status in ("draft", "cancelled"):
        make_mailing(text="Same", status=status)
    assert "same_text" not in warnings_of(api, text="Same")
    make_mailing(text="Same", start_time=now - week + HOUR)
    assert "same_text" in warnings_of(api, text="Same")
    assert "same_text" not in warnings_of(api, text="same")
    assert "costly_characters" in warnings_of(api, text="a" * 100 + "—")
    assert "costly_characters" not in warnings_of(api, text="Привет — " * 2)
    other_alphabet = "Приходите, скоро распродажа: скидки на всё, только в эти выходные. Магазин"
    assert "costly_characters" not in warnings_of(api, text=other_alphabet)


def test_warnings_of_the_time(
    api: APIClient, make_clients: MakeClients, now: datetime, settings: Settings
) -> None:
    settings.MESSAGE_SENDER_RATE = 0.01
    make_clients(3, tag="vip")
    passed, soon = iso(now - HOUR), iso(now + MINUTE)
    assert "stop_time_passed" in warnings_of(api, stop_time=passed)
    assert "starts_at_once" in warnings_of(api, start_time=passed)
    assert "stop_time_too_early" in warnings_of(api, stop_time=soon)
    assert "stop_time_too_early" not in warnings_of(api, stop_time=iso(now + HOUR))
    never = {"window_start": f"{now + 2 * HOUR:%H:%M}", "window_end": f"{now + 3 * HOUR:%H:%M}"}
    assert "window_never_opens" in warnings_of(api, stop_time=soon, **never)


def test_warnings_of_the_sender(api: APIClient, make_clients: MakeClients, now: datetime) -> None:
    make_clients(1, tag="vip")
    assert warnings_of(api) == ["everyone_matches", "rate_assumed"]
    SendingControl.objects.update(is_paused=True, opened_at=now, held_until=now + HOUR)
    Heartbeat.objects.create(name="send_message", at=now - HOUR)
    held = {"sending_paused", "sending_held", "breaker_open", "workers_missing"}
    assert held <= set(warnings_of(api))


def test_messages_that_wait_in_running_mailings_go_first(
    api: APIClient,
    make_clients: MakeClients,
    make_mailing: MakeMailing,
    make_message: Callable[..., Message],
    settings: Settings,
) -> None:
    settings.MESSAGE_SENDER_RATE = 1.0
    make_clients(1, tag="vip")
    for status in ("running", "paused", "cancelled"):
        mailing = make_mailing(status=status)
        for _ in range(3):
            make_message(mailing=mailing)
        make_message(mailing=mailing, status="success", next_attempt_at=None)
    fold_all()

    assert "sender_shared" in warnings_of(api)
    assert api.post(PREVIEW, {}).json()["forecast"]["ahead"] == 3


def rate(api: APIClient) -> tuple[float, str]:
    forecast = api.post(PREVIEW, {}).json()["forecast"]
    return forecast["rate"], forecast["rate_source"]


def test_the_rate_is_measured_where_messages_went_out_for_minutes(
    api: APIClient, now: datetime, settings: Settings
) -> None:
    assert rate(api) == (100.0, "assumed")
    sent(now - 5 * HOUR, 600)  # a minute alone: perhaps there were no more to send
    assert rate(api) == (100.0, "assumed")
    sent(now - HOUR, 1_000, 1_200, 1_800, 300)
    assert rate(api) == (30.0, "measured")
    settings.MESSAGE_SENDER_RATE = 20.0
    assert rate(api) == (20.0, "limit")
    settings.MESSAGE_SENDER_RATE = 50.0
    assert rate(api) == (30.0, "measured")


def test_a_fast_minute_is_measured_even_if_it_is_alone(api: APIClient, now: datetime) -> None:
    sent(now - HOUR, 60_000)
    assert rate(api) == (1_000.0, "measured")


def test_yesterday_and_the_minute_that_is_not_over_say_nothing(
    api: APIClient, now: datetime
) -> None:
    sent(now - 26 * HOUR, 60_000)
    sent(now, 60_000)
    assert rate(api) == (100.0, "assumed")


def test_the_number_of_statements_does_not_depend_on_the_number_of_clients(
    api: APIClient, make_clients: MakeClients, django_assert_max_num_queries: Any
) -> None:
    make_clients(300, tag="vip")

    with django_assert_max_num_queries(20):
        api.post(PREVIEW, {"filters": {"tag": "vip"}, "text": "Hello"})
