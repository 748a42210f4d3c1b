"""Mailings over REST: what is refused, and by which field's name."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from mailings.models import Mailing
from tests.rest import iso, refusal

MAILINGS = "/api/v1/mailings/"
HOUR = timedelta(hours=1)
PAYLOAD = {
    "start_time": "2130-01-31T09:00:00Z",
    "stop_time": "2131-01-31T09:00:00Z",
    "text": "Hello",
    "filters": {},
}
MB5 = 5_000_000  # characters


@pytest.mark.parametrize("field", ["start_time", "stop_time"])
@pytest.mark.parametrize(
    ("junk", "code"),
    [
        ("2130-01-31T09:00:00", "naive"),
        ("2130-01-31", "naive"),
        ("2130-02-31T09:00:00Z", "invalid"),
        ("2130-01-31T25:00:00Z", "invalid"),
        ("2130-01-31T09:00:00+24:00", "invalid"),
        ("10000-01-01T00:00:00Z", "invalid"),
        ("0000-01-01T00:00:00Z", "invalid"),
        ("0001-01-01T00:00:00+23:00", "overflow"),
        ("9999-12-31T23:59:59-23:00", "overflow"),
        ("tomorrow", "invalid"),
        ("", "invalid"),
        ("\x00", "invalid"),
        ("\ud800", "invalid"),
        (None, "null"),
        (1e9, "invalid"),
        (True, "invalid"),
        ([], "invalid"),
        ({}, "invalid"),
        pytest.param("9" * MB5, "invalid", id="5 MB"),
    ],
)
def test_a_time_is_a_moment_with_its_offset_from_utc(
    api: APIClient, field: str, junk: Any, code: str
) -> None:
    assert refusal(api.post(MAILINGS, {**PAYLOAD, field: junk})) == (400, {field: code})


def test_any_offset_from_utc_is_fine(api: APIClient) -> None:
    answer = api.post(MAILINGS, {**PAYLOAD, "start_time": "2130-01-31T12:00:00+03:00"})

    assert answer.json()["start_time"] == PAYLOAD["start_time"]


def test_a_mailing_may_last_from_the_first_year_to_the_last(api: APIClient) -> None:
    always = {"start_time": "0001-01-01T00:00:00Z", "stop_time": "9999-12-31T23:59:59.999999Z"}

    answer = api.post(MAILINGS, {**PAYLOAD, **always})

    assert answer.status_code == 201
    assert {**answer.json(), **always} == api.get(f"{MAILINGS}{answer.json()['id']}/").json()


@pytest.mark.parametrize("stop_time", [PAYLOAD["start_time"], "2129-01-31T09:00:00Z"])
def test_a_mailing_stops_after_it_starts(api: APIClient, stop_time: str) -> None:
    answer = api.post(MAILINGS, {**PAYLOAD, "stop_time": stop_time})

    assert refusal(answer) == (400, {"stop_time": "stop_before_start"})


def test_a_new_mailing_stops_in_the_future(api: APIClient, now: datetime) -> None:
    past = {"start_time": iso(now - 2 * HOUR), "stop_time": iso(now - HOUR)}

    assert refusal(api.post(MAILINGS, {**PAYLOAD, **past})) == (
        400,
        {"stop_time": "stop_in_the_past"},
    )


@pytest.mark.parametrize("status", ["scheduled", "running", "paused"])
@pytest.mark.parametrize("method", ["patch", "put"])
def test_a_mistyped_stop_time_ends_no_mailing(
    api: APIClient, make_mailing: Callable[..., Mailing], now: datetime, status: str, method: str
) -> None:
    path = f"{MAILINGS}{make_mailing(status=status, start_time=now - 3 * HOUR).pk}/"
    shown = api.get(path).json()

    answer = getattr(api, method)(path, {**shown, "stop_time": iso(now - HOUR)})

    assert refusal(answer) == (400, {"stop_time": "stop_in_the_past"})
    assert api.get(path).json() == shown


def test_both_times_cannot_be_moved_into_the_past_either(
    api: APIClient, make_mailing: Callable[..., Mailing], now: datetime
) -> None:
    mailing = make_mailing(status="scheduled", start_time=now + HOUR / 2)
    past = {"start_time": "2020-01-01T00:00:00Z", "stop_time": "2020-01-02T00:00:00Z"}

    answer = api.patch(f"{MAILINGS}{mailing.pk}/", past)

    assert refusal(answer) == (400, {"stop_time": "stop_in_the_past"})


def test_neither_time_can_be_moved_past_the_other_alone(
    api: APIClient, make_mailing: Callable[..., Mailing], now: datetime
) -> None:
    mailing = make_mailing(status="scheduled", start_time=now + HOUR, stop_time=now + 2 * HOUR)

    def patched(**fields: Any) -> Any:
        return refusal(api.patch(f"{MAILINGS}{mailing.pk}/", fields))

    assert patched(start_time=iso(now + 3 * HOUR)) == (400, {"stop_time": "stop_before_start"})
    assert patched(stop_time=iso(now)) == (400, {"stop_time": "stop_before_start"})


def test_the_start_can_be_moved_until_it_has_passed(
    api: APIClient, make_mailing: Callable[..., Mailing], now: datetime
) -> None:
    later = {"start_time": iso(now + HOUR / 2)}
    waiting = make_mailing(status="scheduled", start_time=now + HOUR / 4)
    started = make_mailing()

    moved = api.patch(f"{MAILINGS}{waiting.pk}/", later)
    refused = api.patch(f"{MAILINGS}{started.pk}/", later)

    assert moved.json()["start_time"] == later["start_time"]
    assert refusal(refused) == (400, {"start_time": "mailing_started"})


def test_a_started_mailing_can_be_replaced_with_its_start_sent_back(
    api: APIClient, make_mailing: Callable[..., Mailing]
) -> None:
    mailing = make_mailing()
    shown = api.get(f"{MAILINGS}{mailing.pk}/").json()

    answer = api.put(f"{MAILINGS}{mailing.pk}/", {**shown, "text": "New"})

    assert answer.status_code == 200
    assert answer.json()["text"] == "New"


@pytest.mark.parametrize("field", ["window_start", "window_end"])
@pytest.mark.parametrize(
    "junk",
    [
        *("", "9:00", "09", "0900", "24:00", "09:60", "09:00:60", "09:00 pm", " 09:00", "09:00\n"),
        *("09:00Z", "09:00+03:00", "2130-01-31T09:00:00Z", "٠٩:٠٠", "\x00", "\ud800", "now"),
        *(9, 9.5, True, [], {}),
        pytest.param("9" * MB5, id="5 MB"),
    ],
)
def test_a_window_s_ends_are_local_times_without_an_offset(
    api: APIClient, field: str, junk: Any
) -> None:
    window = {"window_start": "10:00", "window_end": "21:00", field: junk}

    assert refusal(api.post(MAILINGS, {**PAYLOAD, **window})) == (400, {field: "invalid"})


@pytest.mark.parametrize(
    ("start", "end", "answered"),
    [
        ("09:00", "21:30:00", ("09:00:00", "21:30:00")),
        ("22:00", "06:00", ("22:00:00", "06:00:00")),
        ("00:00", "23:59:59.999999", ("00:00:00", "23:59:59.999999")),
        (None, None, (None, None)),
    ],
)
def test_a_window_answers_as_it_can_be_sent_back(
    api: APIClient, start: str | None, end: str | None, answered: tuple[str | None, str | None]
) -> None:
    created = api.post(MAILINGS, {**PAYLOAD, "window_start": start, "window_end": end}).json()

    again = api.put(f"{MAILINGS}{created['id']}/", created).json()

    for answer in (created, again):
        assert (answer["window_start"], answer["window_end"]) == answered


@pytest.mark.parametrize(
    ("window", "errors"),
    [
        ({"window_start": "09:00"}, {"window_end": "window_incomplete"}),
        ({"window_end": "21:00"}, {"window_start": "window_incomplete"}),
        ({"window_start": None, "window_end": "00:00"}, {"window_start": "window_incomplete"}),
        ({"window_start": "09:00", "window_end": "09:00:00"}, {"window_end": "window_never_open"}),
    ],
)
def test_half_a_window_and_one_that_is_never_open_are_refused(
    api: APIClient, window: dict[str, Any], errors: dict[str, str]
) -> None:
    assert refusal(api.post(MAILINGS, {**PAYLOAD, **window})) == (400, errors)
    assert not Mailing.objects.exists()


@pytest.mark.parametrize(
    ("stored", "change", "errors"),
    [
        (("09:00", "21:00"), {"window_start": None}, {"window_start": "window_incomplete"}),
        (("09:00", "21:00"), {"window_end": None}, {"window_end": "window_incomplete"}),
        (("09:00", "21:00"), {"window_end": "09:00"}, {"window_end": "window_never_open"}),
        (("09:00", "21:00"), {"window_start": "21:00"}, {"window_end": "window_never_open"}),
        ((None, None), {"window_end": "21:00"}, {"window_start": "window_incomplete"}),
    ],
)
def test_one_end_of_a_window_cannot_be_changed_into_nonsense_alone(
    api: APIClient,
    make_mailing: Callable[..., Mailing],
    stored: tuple[str | None, str | None],
    change: dict[str, Any],
    errors: dict[str, str],
) -> None:
    mailing = make_mailing(window_start=stored[0], window_end=stored[1])

    assert refusal(api.patch(f"{MAILINGS}{mailing.pk}/", change)) == (400, errors)


@pytest.mark.parametrize(
    ("junk", "code"),
    [
        ("", "blank"),
        (" \n\t", "blank"),
        ("\u3000\u2003", "blank"),
        ("x" * 4097, "max_length"),
        ("\x00", "null_characters_not_allowed"),
        ("\ud800", "surrogate_characters_not_allowed"),
        (None, "null"),
        *((True, "invalid"), ([], "invalid"), ({}, "invalid"), (0, "invalid"), (1.5, "invalid")),
        pytest.param("x" * MB5, "max_length", id="5 MB"),
    ],
)
def test_a_text_is_something_to_read(api: APIClient, junk: Any, code: str) -> None:
    assert refusal(api.post(MAILINGS, {**PAYLOAD, "text": junk})) == (400, {"text": code})


@pytest.mark.parametrize("text", ["x" * 4096, "Привет 👋", "100 % {sure} %s \\u0000"])
def test_a_text_is_stored_as_it_is_written(api: APIClient, text: str) -> None:
    assert api.post(MAILINGS, {**PAYLOAD, "text": text}).json()["text"] == text


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"operator_code": "999"},
        {"operator_code": ["999", "926"], "tag": "vip", "timezone": ["Europe/Moscow", "UTC"]},
        {"tag": ["x" * 64] * 1000},
        {"tag": ["", "50 % %s", "ü👋"]},
    ],
)
def test_filters_are_stored_as_they_are_written(api: APIClient, filters: Any) -> None:
    assert api.post(MAILINGS, {**PAYLOAD, "filters": filters}).json()["filters"] == filters


@pytest.mark.parametrize(
    "junk",
    [
        *(5, 1.5, True, "", "vip", '{"tag": "vip"}', [], ["tag"], [{}], [[]]),
        *({"tags": "vip"}, {"": "vip"}, {"\x00": "vip"}, {"\ud800": "vip"}, {"50%s": "x"}),
        *({"tag": None}, {"tag": 5}, {"tag": True}, {"tag": {}}, {"tag": {"in": ["vip"]}}),
        *({"tag": []}, {"tag": [None]}, {"tag": [5]}, {"tag": [[]]}, {"tag": [{}]}),
        *({"tag": "x" * 65}, {"tag": "\x00"}, {"tag": "\ud800"}, {"tag": "a\x07b"}),
        *({"timezone": "../etc"}, {"timezone": "America"}, {"timezone": ""}),
        *({"timezone": "50%s"}, {"timezone": []}, {"timezone": [[]]}, {"timezone": ["UTC", 5]}),
        pytest.param({"tag": "x" * MB5}, id="5 MB in a value"),
        pytest.param({"x" * MB5: "vip"}, id="5 MB in a key"),
        pytest.param({"tag": ["x"] * 100_000}, id="100,000 values"),
        pytest.param({str(key): "x" for key in range(100_000)}, id="100,000 keys"),
    ],
)
def test_filters_are_known_keys_with_a_text_or_texts_each(api: APIClient, junk: Any) -> None:
    answer = api.post(MAILINGS, {**PAYLOAD, "filters": junk})

    assert refusal(answer) == (400, {"filters": "invalid_filters"})


def test_filters_are_not_null(api: APIClient) -> None:
    assert refusal(api.post(MAILINGS, {**PAYLOAD, "filters": None})) == (400, {"filters": "null"})


@pytest.mark.parametrize(
    ("junk", "named"),
    [({"tags": "vip"}, "'tags'"), ({"timezone": "America"}, "'America'"), ({"tag": []}, "'tag'")],
)
def test_the_refusal_of_filters_names_the_key(api: APIClient, junk: Any, named: str) -> None:
    (error,) = api.post(MAILINGS, {**PAYLOAD, "filters": junk}).json()["errors"]

    assert named in error["detail"]


def test_all_that_is_wrong_is_said_at_once(api: APIClient) -> None:
    answer = api.post(MAILINGS, {"text": "", "start_time": "x", "filters": []})

    assert refusal(answer) == (
        400,
        {
            "start_time": "invalid",
            "stop_time": "required",
            "text": "blank",
            "filters": "invalid_filters",
        },
    )
