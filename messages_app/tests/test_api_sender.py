"""The sender over REST: what holds sending, and the levers."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings
from rest_framework.test import APIClient

from messages_app.models import Heartbeat, SendingControl
from tests.rest import iso, refusal
from toolkit import clock

SENDER = "/api/v1/sender/"
PROBE = f"{SENDER}probe/"
SECOND = timedelta(seconds=1)
CLOSED = {"state": "closed", "failures": 0, "opened_at": None, "reason": "", "probe_at": None}

Queued = Callable[[], list[tuple[Any, ...]]]


@pytest.fixture
def opened(db: None) -> dict[str, datetime]:
    """Open the breaker; return since when, and when the next probe is."""
    now = clock.now()
    times = {"opened_at": now - 60 * SECOND, "probe_at": now + 60 * SECOND}
    values = {**times, "failures": 20, "reason": "HTTP 503: down", "probe_interval": 60}
    SendingControl.objects.update(**values)
    return times


def row() -> SendingControl:
    return SendingControl.objects.get()


class TestLooking:
    def test_tells_that_nothing_holds_sending(self, api: APIClient) -> None:
        answer = api.get(SENDER)

        nobody = {"at": None, "age": None}
        assert answer.status_code == 200
        assert answer.json() == {
            "is_paused": False,
            "pause_reason": "",
            "paused_by": None,
            "paused_at": None,
            "rate": None,
            "rate_limit": None,
            "breaker": CLOSED,
            "is_idempotent": True,
            "heartbeats": {"beat": nobody, "start_mailing": nobody, "send_message": nobody},
            "restored_at": None,
            "held_until": None,
        }

    def test_tells_why_and_since_when_the_breaker_is_open(
        self, api: APIClient, opened: dict[str, datetime]
    ) -> None:
        assert api.get(SENDER).json()["breaker"] == {
            "state": "open",
            "failures": 20,
            "opened_at": iso(opened["opened_at"]),
            "reason": "HTTP 503: down",
            "probe_at": iso(opened["probe_at"]),
        }

    def test_tells_that_the_next_message_is_the_probe(
        self, api: APIClient, opened: dict[str, datetime]
    ) -> None:
        SendingControl.objects.update(probe_at=opened["opened_at"])

        assert api.get(SENDER).json()["breaker"]["state"] == "probing"

    @pytest.mark.parametrize(
        ("setting", "rate", "limit"),
        [(None, 5, 5), (20, None, 20), (20, 5, 5), (5, 20, 5), (None, None, None)],
    )
    def test_tells_the_stricter_of_both_rates(
        self,
        api: APIClient,
        settings: Settings,
        setting: float | None,
        rate: float | None,
        limit: float | None,
    ) -> None:
        settings.MESSAGE_SENDER_RATE = setting
        SendingControl.objects.update(rate=rate)

        shown = api.get(SENDER).json()

        assert (shown["rate"], shown["rate_limit"]) == (rate, limit)

    def test_tells_whether_the_sender_drops_repeats(
        self, api: APIClient, settings: Settings
    ) -> None:
        settings.MESSAGE_SENDER_IDEMPOTENT = False

        assert api.get(SENDER).json()["is_idempotent"] is False

    def test_tells_the_heartbeats_of_each_part(self, api: APIClient) -> None:
        at = clock.now() - 90 * SECOND
        Heartbeat.objects.create(name="send_message", at=at)
        Heartbeat.objects.create(name="beat", at=at + 3600 * SECOND)

        seen = api.get(SENDER).json()["heartbeats"]

        assert seen["send_message"]["at"] == iso(at)
        assert 90 <= seen["send_message"]["age"] < 100
        assert seen["start_mailing"] == {"at": None, "age": None}
        assert seen["beat"]["age"] == 0  # and not minus an hour


class TestSetting:
    @pytest.mark.parametrize(
        "payload", [{"is_paused": False}, {"rate": 0.01}, {"rate": 1_000_000}, {"rate": 12.5}, {}]
    )
    def test_changes_what_is_told_and_nothing_else(
        self, api: APIClient, payload: dict[str, Any]
    ) -> None:
        before = api.get(SENDER).json()

        answer = api.patch(SENDER, payload)

        limit = {"rate_limit": payload.get("rate")}
        assert answer.status_code == 200
        assert answer.json() == {**before, **payload, **limit}
        assert api.get(SENDER).json() == answer.json()

    def test_a_pause_says_who_since_when_and_why(self, api: APIClient) -> None:
        answer = api.patch(SENDER, {"is_paused": True, "pause_reason": "The text is wrong"}).json()

        user = User.objects.get()
        assert answer["is_paused"] is True
        assert answer["pause_reason"] == "The text is wrong"
        assert answer["paused_by"] == user.username
        paused_at = row().paused_at
        assert paused_at
        assert answer["paused_at"] == iso(paused_at)

    def test_a_pause_that_is_repeated_stays_that_of_who_began_it(self, api: APIClient) -> None:
        began_at = clock.now() - 60 * SECOND
        SendingControl.objects.update(is_paused=True, paused_by="olga", paused_at=began_at)

        answer = api.patch(SENDER, {"is_paused": True, "pause_reason": "Because"}).json()

        told = (answer["paused_by"], answer["paused_at"], answer["pause_reason"])
        assert told == ("olga", iso(began_at), "Because")

    def test_a_pause_that_is_taken_back_leaves_no_reason(self, api: APIClient) -> None:
        paused = api.patch(SENDER, {"is_paused": True, "pause_reason": "Because"}).json()
        reason = {"pause_reason": paused["pause_reason"]}  # as a program may send it back

        answer = api.patch(SENDER, {"is_paused": False, **reason}).json()

        told = (answer["paused_by"], answer["paused_at"], answer["pause_reason"])
        assert told == (None, None, "")

    @pytest.mark.parametrize("also", [{}, {"is_paused": False}])
    def test_refuses_a_reason_without_a_pause(self, api: APIClient, also: dict[str, bool]) -> None:
        answer = api.patch(SENDER, {"pause_reason": "Because", **also})

        assert refusal(answer) == (400, {"pause_reason": "reason_without_pause"})
        assert row().pause_reason == ""

    def test_takes_back_pause_and_rate(self, api: APIClient) -> None:
        SendingControl.objects.update(is_paused=True, rate=1)

        api.patch(SENDER, {"is_paused": False, "rate": None})

        assert (row().is_paused, row().rate) == (False, None)

    @pytest.mark.parametrize("payload", [{"is_paused": False}, {"rate": 100}])
    def test_lets_go_out_at_once_what_may(
        self,
        api: APIClient,
        queued: Queued,
        django_capture_on_commit_callbacks: Any,
        payload: dict[str, Any],
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            api.patch(SENDER, payload)

        assert queued() == [("send_message",)]

    def test_a_higher_rate_does_not_wait_for_what_a_low_one_has_booked(
        self, api: APIClient
    ) -> None:
        SendingControl.objects.update(rate=0.01, next_slot_at=clock.now() + 100 * SECOND)

        api.patch(SENDER, {"rate": 100})

        assert row().next_slot_at is None

    def test_a_pause_leaves_the_breaker_as_it_is(
        self, api: APIClient, opened: dict[str, datetime]
    ) -> None:
        api.patch(SENDER, {"is_paused": True})

        assert row().opened_at == opened["opened_at"]

    @pytest.mark.parametrize(
        "junk",
        [0, 0.009, -1, 1_000_001, 10**400, True, False, "5", "nan", "inf", "", [], {}, [5], "null"],
    )
    def test_refuses_a_rate_that_is_none(self, api: APIClient, junk: Any) -> None:
        answer = api.patch(SENDER, {"rate": junk, "is_paused": True})

        assert refusal(answer) == (400, {"rate": "invalid"})
        assert not row().is_paused

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
    def test_refuses_numbers_that_json_has_not(self, api: APIClient, number: str) -> None:
        answer = api.generic(
            "PATCH", SENDER, f'{{"rate": {number}}}', content_type="application/json"
        )

        assert refusal(answer) == (400, {None: "parse_error"})
        assert row().rate is None

    @pytest.mark.parametrize("junk", [None, "perhaps", [], {}, 2, 0, 1, 1.0, "no", "on", "true"])
    def test_refuses_a_pause_that_is_neither_true_nor_false(
        self, api: APIClient, junk: Any
    ) -> None:
        status, reasons = refusal(api.patch(SENDER, {"is_paused": junk}))

        assert (status, list(reasons)) == (400, ["is_paused"])

    @pytest.mark.parametrize("name", ["paused", "rates", "next_slot_at", "opened_at", "id"])
    def test_refuses_names_it_does_not_know(self, api: APIClient, name: str) -> None:
        assert refusal(api.patch(SENDER, {name: True})) == (400, {name: "unknown_field"})

    def test_leaves_what_is_read_only_when_it_is_sent_back(
        self, api: APIClient, opened: dict[str, datetime]
    ) -> None:
        shown = api.get(SENDER).json()

        assert api.patch(SENDER, {**shown, "breaker": CLOSED}).status_code == 200
        assert row().opened_at == opened["opened_at"]

    @pytest.mark.parametrize("method", ["put", "post", "delete"])
    def test_is_done_in_part_only(self, api: APIClient, method: str) -> None:
        answer = getattr(api, method)(SENDER, {"is_paused": True})

        assert refusal(answer) == (405, {None: "method_not_allowed"})


class TestProbing:
    def test_tries_the_sender_at_once(
        self,
        api: APIClient,
        opened: dict[str, datetime],
        queued: Queued,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            answer = api.post(PROBE)

        assert answer.status_code == 200
        assert answer.json()["breaker"]["state"] == "probing"
        assert answer.json()["breaker"]["opened_at"] == iso(opened["opened_at"])
        probe_at = row().probe_at
        assert probe_at
        assert probe_at <= clock.now()
        assert queued() == [("send_message",)]

    def test_is_refused_while_the_breaker_is_closed(self, api: APIClient) -> None:
        assert refusal(api.post(PROBE)) == (409, {None: "breaker_closed"})
        assert row().probe_at is None

    def test_is_refused_while_sending_is_paused(
        self, api: APIClient, opened: dict[str, datetime]
    ) -> None:
        SendingControl.objects.update(is_paused=True)

        assert refusal(api.post(PROBE)) == (409, {None: "sending_paused"})
        assert row().probe_at == opened["probe_at"]
