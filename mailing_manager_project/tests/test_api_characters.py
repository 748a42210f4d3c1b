"""Characters that mislead whoever reads them, in tags and texts over REST."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from rest_framework.test import APIClient

from tests.rest import iso, refusal

API = "/api/v1/"


@pytest.mark.parametrize("each", ["\n", "\t", "\r", "\x1b", "\x85", "\u202e", "\u2066", "\u202a"])
def test_a_tag_is_one_line_that_reads_as_it_is_written(api: APIClient, each: str) -> None:
    body = {"phone_number": "79991234567", "tag": f"a{each}FORGED"}
    assert refusal(api.post(f"{API}clients/", body)) == (400, {"tag": "invalid_tag"})


@pytest.mark.parametrize("tag", ["vip", "нов\u0438чки", "👩\u200d👧", "two words", "a\u200eb"])
def test_any_other_words_are_a_tag(api: APIClient, tag: str) -> None:
    body = {"phone_number": "79991234567", "tag": tag}
    assert api.post(f"{API}clients/", body).json()["tag"] == tag


@pytest.mark.parametrize("each", ["\t", "\r", "\x1b[31m", "\x07", "\x9b", "\x0b"])
def test_a_text_has_no_control_characters(
    api: APIClient, make_body: Callable[[str], object], each: str
) -> None:
    answer = api.post(f"{API}mailings/", make_body(f"Hello{each}you"))
    assert refusal(answer) == (400, {"text": "invalid_text"})


@pytest.mark.parametrize(("sent", "kept"), [("a\nb", "a\nb"), ("a\r\nb\r\n\r\nc", "a\nb\n\nc")])
def test_a_text_may_have_line_breaks(
    api: APIClient, make_body: Callable[[str], object], sent: str, kept: str
) -> None:
    assert api.post(f"{API}mailings/", make_body(sent)).json()["text"] == kept


@pytest.fixture
def make_body(now: datetime) -> Callable[[str], object]:
    """Return a function that makes a mailing's body with this text."""
    times = {"start_time": iso(now), "stop_time": iso(now + timedelta(hours=1))}
    return lambda text: {**times, "text": text, "filters": {}}
