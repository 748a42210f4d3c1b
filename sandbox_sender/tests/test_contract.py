"""The sandbox keeps the contract of the sender API, and account of what it is sent."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
import requests

from sandbox_sender.accounts import RECENT_MESSAGES
from sandbox_sender.launch import RunningSandbox, run_sandbox

PHONE = 79991234567
BEARER = {"Authorization": "Bearer sandbox"}
next_id = count(1).__next__


def post(url: str, body: object, headers: dict[str, str] | None = None) -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(url, data, headers=BEARER if headers is None else headers, timeout=5)


def send(sandbox: RunningSandbox, message_id: int, **changes: object) -> requests.Response:
    body = {"id": message_id, "phone": PHONE, "text": "Hello", **changes}
    return post(f"{sandbox.url}/send/{message_id}", body)


def count_changes(sandbox: RunningSandbox, before: dict[str, Any]) -> dict[str, int]:
    after = sandbox.get("/stats")
    names = ("accepted", "unique", "repeated", "rejected")
    return {name: after[name] - before[name] for name in names if after[name] != before[name]}


@pytest.mark.parametrize("base", ["", "/v1"])
def test_a_correct_message_is_accepted_at_both_bases(sandbox: RunningSandbox, base: str) -> None:
    before = sandbox.get("/stats")
    message_id = next_id()
    body = {"id": message_id, "phone": PHONE, "text": "Hello"}
    answer = post(f"{sandbox.url}{base}/send/{message_id}", body)
    assert (answer.status_code, answer.json()) == (200, {"code": 0, "message": "OK"})
    assert answer.headers["Content-Type"] == "application/json"
    assert count_changes(sandbox, before) == {"accepted": 1, "unique": 1}


@pytest.mark.parametrize("message_id", [-(2**63), -1, 0, 2**63 - 1])
def test_every_int64_is_an_id(sandbox: RunningSandbox, message_id: int) -> None:
    assert send(sandbox, message_id).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer another"},
        {"Authorization": "Bearer sandbox2"},
        {"Authorization": "Token sandbox"},
        {"Authorization": "sandbox"},
    ],
)
def test_a_wrong_token_is_401(sandbox: RunningSandbox, headers: dict[str, str]) -> None:
    before = sandbox.get("/stats")
    message_id = next_id()
    body = {"id": message_id, "phone": PHONE, "text": "Hello"}
    answer = post(f"{sandbox.url}/send/{message_id}", body, headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == 401
    assert count_changes(sandbox, before) == {"rejected": 1}


def test_the_token_is_the_one_of_the_command_line() -> None:
    with run_sandbox("--token", "secret") as sandbox:
        assert send(sandbox, 1).status_code == 401
        body = {"id": 1, "phone": PHONE, "text": "Hello"}
        answer = post(f"{sandbox.url}/send/1", body, {"Authorization": "bearer secret"})
        assert answer.status_code == 200


def test_an_empty_token_lets_any_bearer_in_but_not_none() -> None:
    with run_sandbox("--token", "") as sandbox:
        body = {"id": 1, "phone": PHONE, "text": "Hello"}
        url = f"{sandbox.url}/send/1"
        assert post(url, body, {"Authorization": "Bearer anything"}).status_code == 200
        assert post(url, body, {"Authorization": "Bearer "}).status_code == 401
        assert post(url, body, {}).status_code == 401


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": "5"}, "id"),
        ({"id": 5.0}, "id"),
        ({"id": True}, "id"),
        ({"id": None}, "id"),
        ({"id": 2**63}, "id"),
        ({"id": 6}, "id"),
        ({"phone": "79991234567"}, "phone"),
        ({"phone": True}, "phone"),
        ({"phone": 79991234567.0}, "phone"),
        ({"phone": None}, "phone"),
        ({"phone": 10**19}, "phone"),
        ({"text": 5}, "text"),
        ({"text": None}, "text"),
    ],
)
def test_a_value_of_the_wrong_type_is_400_and_named(
    sandbox: RunningSandbox, changes: dict[str, object], field: str
) -> None:
    before = sandbox.get("/stats")
    answer = send(sandbox, 5, **changes)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(f"{field} must be")
    assert count_changes(sandbox, before) == {"rejected": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b"[" * 100_000,
        b'{"id": ' + b"9" * 10_000 + b"}",
        b'{"id": 5, "phone_number": 79991234567, "text": "Hello"}',
    ],
    ids=range(10),
)
def test_a_body_that_is_no_message_is_400(sandbox: RunningSandbox, body: bytes) -> None:
    before = sandbox.get("/stats")
    answer = post(f"{sandbox.url}/send/5", body)
    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    assert count_changes(sandbox, before) == {"rejected": 1}


@pytest.mark.parametrize("path_id", ["6", "05", "5.0", "+5", "", "abc"])
def test_an_id_that_is_not_the_one_in_the_path_is_400(
    sandbox: RunningSandbox, path_id: str
) -> None:
    body = {"id": 5, "phone": PHONE, "text": "Hello"}
    assert post(f"{sandbox.url}/send/{path_id}", body).status_code == 400


@pytest.mark.parametrize("path", ["/sends/5", "/v2/send/5", "/send/5/more", "/send", "/x"])
def test_an_unknown_path_is_404(sandbox: RunningSandbox, path: str) -> None:
    answer = post(sandbox.url + path, {"id": 5, "phone": PHONE, "text": "Hello"})
    assert (answer.status_code, answer.json()["code"]) == (404, 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/send/5", "POST"), ("POST", "/stats", "GET"), ("POST", "/faults", "GET, PUT, PATCH")],
)
def test_a_wrong_method_is_405_and_tells_the_right_one(
    sandbox: RunningSandbox, method: str, path: str, allowed: str
) -> None:
    answer = requests.request(method, sandbox.url + path, headers=BEARER, timeout=5)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)


def test_the_control_port_takes_no_messages(sandbox: RunningSandbox) -> None:
    body = {"id": 5, "phone": PHONE, "text": "Hello"}
    assert post(f"{sandbox.control_url}/send/5", body).status_code == 404


def test_a_repeated_id_is_answered_but_not_accepted_again(sandbox: RunningSandbox) -> None:
    before = sandbox.get("/stats")
    message_id = next_id()
    answers = [send(sandbox, message_id) for _ in range(3)]
    assert [answer.json() for answer in answers] == [{"code": 0, "message": "OK"}] * 3
    assert count_changes(sandbox, before) == {"accepted": 1, "unique": 1, "repeated": 2}


def test_without_deduplication_a_repeated_id_is_accepted_again() -> None:
    with run_sandbox("--no-deduplicate") as sandbox:
        for _ in range(3):
            assert send(sandbox, 5).status_code == 200
        stats = sandbox.get("/stats")
        assert (stats["accepted"], stats["unique"], stats["repeated"]) == (3, 1, 2)
        assert len(sandbox.get("/inbox.json")["messages"]) == 3


def test_stats_count_statuses_and_tell_the_times_of_the_first_and_last() -> None:
    with run_sandbox() as sandbox:
        empty = sandbox.get("/stats")
        assert (empty["first_accepted_at"], empty["last_accepted_at"]) == (None, None)
        for message_id in (1, 2, 2):
            send(sandbox, message_id)
        send(sandbox, 3, phone="1")
        stats = sandbox.get("/stats")
    assert stats["statuses"] == {"200": 3, "400": 1}
    assert (stats["accepted"], stats["repeated"], stats["rejected"]) == (2, 1, 1)
    assert stats["in_flight"] == 0
    assert 0 < stats["last_accepted_at"] - stats["first_accepted_at"] < stats["uptime_seconds"]


def test_the_inbox_has_the_latest_messages_newest_first() -> None:
    with run_sandbox() as sandbox:
        for message_id in range(RECENT_MESSAGES + 3):
            send(sandbox, message_id, text=f"Number {message_id} " + "x" * 500)
        messages = sandbox.get("/inbox.json")["messages"]
    assert [message["id"] for message in messages] == list(range(RECENT_MESSAGES + 2, 2, -1))
    assert messages[0]["phone"] == PHONE
    assert messages[0]["text"].startswith("Number 202 xxx")
    assert len(messages[0]["text"]) < 200


def test_the_inbox_page_shows_a_text_without_running_it(sandbox: RunningSandbox) -> None:
    send(sandbox, next_id(), text="<script>alert(1)</script> & $rows \ud800")
    answer = requests.get(sandbox.url, timeout=5)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; $rows" in answer.text
    assert "<script>alert" not in answer.text
    assert str(PHONE) in answer.text


def test_the_inbox_page_needs_nothing_from_outside_and_says_what_is_wrong(
    sandbox: RunningSandbox,
) -> None:
    sandbox.set_faults(latency=0.001, token_revoked=True)
    page = requests.get(sandbox.control_url, timeout=5).text
    sandbox.set_faults()
    assert "latency = 0.001" in page
    assert "token_revoked = True" in page
    assert "No faults" in requests.get(sandbox.control_url, timeout=5).text
    assert not {"http://", "https://", "//cdn", "src=", "@import"} & set(page.split())
    assert "http://" not in page
    assert "https://" not in page
