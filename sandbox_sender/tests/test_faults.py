"""The sandbox fails on demand, exactly as it is told to."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from itertools import count

import pytest
import requests

from sandbox_sender.faults import FAULT_FIELDS, FaultError, Faults, read_faults
from sandbox_sender.launch import RunningSandbox, run_sandbox

BEARER = {"Authorization": "Bearer sandbox"}
next_id = count(1).__next__


def send(sandbox: RunningSandbox, timeout: float = 5, **changes: object) -> requests.Response:
    message_id = next_id()
    body = {"id": message_id, "phone": 79991234567, "text": "Hello", **changes}
    url = f"{sandbox.url}/send/{message_id}"
    return requests.post(url, json=body, headers=BEARER, timeout=timeout)


def put(sandbox: RunningSandbox, body: object, method: str = "PUT") -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.request(method, f"{sandbox.url}/faults", data=data, timeout=5)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < deadline, "It did not happen within five seconds."
        time.sleep(0.002)


def get_counts(sandbox: RunningSandbox) -> tuple[int, int]:
    stats = sandbox.get("/stats")
    return stats["accepted"], stats["rejected"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [("bad_request", 400), ("throttled", 429), ("server_error", 500), ("unavailable", 503)],
)
def test_a_fault_with_a_status_answers_it_and_accepts_nothing(
    sandbox: RunningSandbox, fault: str, status: int
) -> None:
    accepted, rejected = get_counts(sandbox)
    drawn = sandbox.get("/stats")["faults"].get(fault, 0)
    sandbox.set_faults(**{fault: 1})
    answer = send(sandbox)
    assert (answer.status_code, answer.json()["code"]) == (status, status)
    assert get_counts(sandbox) == (accepted, rejected + 1)
    assert sandbox.get("/stats")["faults"][fault] == drawn + 1


def test_throttling_says_when_to_come_back_in_seconds(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(throttled=1, retry_after=7)
    assert send(sandbox).headers["Retry-After"] == "7"


def test_throttling_says_when_to_come_back_as_a_date(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(throttled=1, retry_after=600, retry_after_date=True)
    value = send(sandbox).headers["Retry-After"]
    assert value.endswith(" GMT")
    assert 590 < parsedate_to_datetime(value).timestamp() - time.time() <= 600


def test_unavailable_says_when_to_come_back_only_if_told_to(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(unavailable=1)
    assert "Retry-After" not in send(sandbox).headers
    sandbox.set_faults(unavailable=1, unavailable_retry_after=30)
    assert send(sandbox).headers["Retry-After"] == "30"


def test_a_wrong_code_is_200_and_accepts_nothing(sandbox: RunningSandbox) -> None:
    accepted, rejected = get_counts(sandbox)
    sandbox.set_faults(wrong_code=1)
    answer = send(sandbox)
    assert (answer.status_code, answer.json()["code"]) == (200, 1)
    assert get_counts(sandbox) == (accepted, rejected + 1)


def test_garbage_is_200_of_many_kinds_and_never_the_real_answer(sandbox: RunningSandbox) -> None:
    accepted, rejected = get_counts(sandbox)
    sandbox.set_faults(garbage=1, seed=1)
    answers = [send(sandbox) for _ in range(50)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 8
    for answer in answers:
        try:
            body = answer.json()
        except ValueError:
            continue
        assert not (isinstance(body, dict) and body.get("code") == 0)
    assert get_counts(sandbox) == (accepted, rejected + 50)


@pytest.mark.parametrize(("fault", "gained"), [("reset_before", 0), ("reset_after", 1)])
def test_a_reset_is_seen_as_one_and_accepts_only_afterwards(
    sandbox: RunningSandbox, fault: str, gained: int
) -> None:
    accepted, rejected = get_counts(sandbox)
    sandbox.set_faults(**{fault: 1})
    with pytest.raises(requests.ConnectionError, match="Connection reset by peer"):
        send(sandbox)
    assert get_counts(sandbox) == (accepted + gained, rejected + 1 - gained)


@pytest.mark.parametrize(("fault", "gained"), [("hang", 0), ("hang_after", 1)])
def test_a_hanging_request_is_in_flight_until_the_client_gives_up(
    sandbox: RunningSandbox, fault: str, gained: int
) -> None:
    accepted, rejected = get_counts(sandbox)
    sandbox.set_faults(**{fault: 1})
    with socket.create_connection(("127.0.0.1", sandbox.port), 0.2) as client:
        client.sendall(build_request(next_id()))
        wait_until(lambda: sandbox.get("/stats")["in_flight"] == 1)
        sandbox.set_faults()
        with pytest.raises(TimeoutError):
            client.recv(1)
    wait_until(lambda: sandbox.get("/stats")["in_flight"] == 0)
    assert get_counts(sandbox) == (accepted + gained, rejected + 1 - gained)


def build_request(message_id: int) -> bytes:
    body = b'{"id": %d, "phone": 79991234567, "text": "Hello"}' % message_id
    head = b"POST /send/%d HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sandbox\r\n" % message_id
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_latency_is_waited_and_jitter_at_most_added(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(latency=0.1, jitter=0.05)
    began_at = time.monotonic()
    assert send(sandbox).status_code == 200
    assert 0.1 <= time.monotonic() - began_at < 1


def test_a_message_is_accepted_before_its_latency(sandbox: RunningSandbox) -> None:
    accepted, _ = get_counts(sandbox)
    sandbox.set_faults(latency=3600)
    with socket.create_connection(("127.0.0.1", sandbox.port), 5) as client:
        client.sendall(build_request(next_id()))
        wait_until(lambda: get_counts(sandbox)[0] == accepted + 1)
        assert sandbox.get("/stats")["in_flight"] == 1
    wait_until(lambda: sandbox.get("/stats")["in_flight"] == 0)


def test_latency_of_one_client_holds_up_no_other(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(latency=3600)
    with socket.create_connection(("127.0.0.1", sandbox.port), 5) as client:
        client.sendall(build_request(next_id()))
        wait_until(lambda: sandbox.get("/stats")["in_flight"] == 1)
        sandbox.set_faults()
        assert send(sandbox).status_code == 200


def test_a_revoked_token_is_401_until_it_is_given_back(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(token_revoked=True)
    assert send(sandbox).status_code == 401
    sandbox.set_faults()
    assert send(sandbox).status_code == 200


def test_a_rate_limit_throttles_what_comes_faster(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(rate_limit=1, retry_after=2)
    first, second = send(sandbox), send(sandbox)
    assert (first.status_code, second.status_code) == (200, 429)
    assert second.headers["Retry-After"] == "2"
    assert sandbox.get("/stats")["faults"]["rate_limit"] >= 1


def test_a_rate_limit_lets_its_rate_through(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(rate_limit=100)
    with requests.Session() as session:
        began_at = time.monotonic()
        statuses: Counter[int] = Counter()
        while (elapsed := time.monotonic() - began_at) < 0.3:
            body = {"id": (message_id := next_id()), "phone": 1, "text": ""}
            url = f"{sandbox.url}/send/{message_id}"
            statuses[session.post(url, json=body, headers=BEARER).status_code] += 1
    assert statuses[429] > 0
    # The bucket holds ten at the beginning.
    assert 50 * elapsed < statuses[200] <= 100 * elapsed + 11


def test_no_more_requests_are_open_than_may_be_and_others_are_refused_at_once(
    sandbox: RunningSandbox,
) -> None:
    sandbox.set_faults(max_open=1, latency=3600, unavailable_retry_after=3)
    with socket.create_connection(("127.0.0.1", sandbox.port), 5) as client:
        client.sendall(build_request(next_id()))
        wait_until(lambda: sandbox.get("/stats")["in_flight"] == 1)
        refusal = send(sandbox)
        assert (refusal.status_code, refusal.headers["Retry-After"]) == (503, "3")
    wait_until(lambda: sandbox.get("/stats")["in_flight"] == 0)
    sandbox.set_faults(max_open=1)
    assert send(sandbox).status_code == 200
    assert sandbox.get("/stats")["faults"]["max_open"] == 1


def test_faults_meet_only_correct_requests(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(server_error=1)
    assert send(sandbox, phone="wrong").status_code == 400


def test_rates_are_kept_and_a_seed_repeats_the_draws(sandbox: RunningSandbox) -> None:
    def collect() -> list[int]:
        sandbox.set_faults(server_error=0.3, unavailable=0.2, seed=7)
        return [send(sandbox).status_code for _ in range(200)]

    statuses = collect()
    counts = Counter(statuses)
    assert counts.keys() == {200, 500, 503}
    assert 40 <= counts[500] <= 80
    assert 25 <= counts[503] <= 55
    assert collect() == statuses


def test_an_outage_refuses_and_cuts_and_ends_on_the_same_port(sandbox: RunningSandbox) -> None:
    accepted, _ = get_counts(sandbox)
    sandbox.set_faults(hang=1)
    with (
        socket.create_connection(("127.0.0.1", sandbox.port), 5) as idle,
        socket.create_connection(("127.0.0.1", sandbox.port), 5) as hanging,
    ):
        hanging.sendall(build_request(next_id()))
        wait_until(lambda: sandbox.get("/stats")["in_flight"] == 1)
        sandbox.set_faults(outage=True)
        for client in (idle, hanging):
            with pytest.raises(ConnectionResetError):
                client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", sandbox.port), 5)
    assert get_counts(sandbox)[0] == accepted
    sandbox.set_faults()
    assert send(sandbox).status_code == 200
    assert get_counts(sandbox)[0] == accepted + 1


def test_an_outage_leaves_the_connections_of_the_control_port_alone(
    sandbox: RunningSandbox,
) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.control_port), 5) as client:
        for outage in (False, True, False):
            sandbox.set_faults(outage=outage)
            client.sendall(b"GET /stats HTTP/1.1\r\n\r\n")
            assert client.recv(10000).startswith(b"HTTP/1.1 200 ")


def test_an_outage_asked_for_on_the_main_port_is_still_answered(sandbox: RunningSandbox) -> None:
    for _ in range(20):
        answer = put(sandbox, {"outage": True})
        assert (answer.status_code, answer.json()["outage"]) == (200, True)
        with pytest.raises(requests.ConnectionError, match="Connection refused"):
            send(sandbox)
        wait_until(lambda: try_to_end_outage(sandbox))


def try_to_end_outage(sandbox: RunningSandbox) -> bool:
    return requests.put(f"{sandbox.control_url}/faults", b"{}", timeout=5).status_code == 200


def test_a_sandbox_can_start_in_an_outage() -> None:
    with run_sandbox("--faults", '{"outage": true}') as sandbox:
        with pytest.raises(requests.ConnectionError, match="Connection refused"):
            send(sandbox)
        sandbox.set_faults()
        assert send(sandbox).status_code == 200


def test_put_sets_exactly_these_faults_and_patch_adds_to_them(sandbox: RunningSandbox) -> None:
    put(sandbox, {"latency": 0.01, "server_error": 0.5})
    answer = put(sandbox, {"latency": 0.02}, "PATCH")
    assert (answer.json()["latency"], answer.json()["server_error"]) == (0.02, 0.5)
    assert sandbox.get("/faults") == answer.json()
    put(sandbox, {"latency": 0.03})
    faults = sandbox.get("/faults")
    assert (faults.pop("latency"), faults.pop("server_error")) == (0.03, 0)
    assert not any(faults[name] for name in faults if name != "retry_after")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000], ids=range(4))
def test_faults_that_are_not_json_are_400(sandbox: RunningSandbox, body: bytes) -> None:
    answer = put(sandbox, body)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("The body must be JSON")


def test_a_wrong_fault_is_400_and_changes_nothing(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(latency=0.01)
    answer = put(sandbox, {"latency": 0.5, "latancy": 1})
    assert answer.status_code == 400
    assert "'latancy'" in answer.json()["message"]
    assert "latency, jitter, bad_request" in answer.json()["message"]
    assert sandbox.get("/faults")["latency"] == 0.01


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latency", -1),
        ("latency", "1"),
        ("latency", True),
        ("latency", 3601),
        ("latency", float("nan")),
        ("latency", float("inf")),
        ("jitter", None),
        ("server_error", 1.1),
        ("server_error", -0.1),
        ("retry_after", 1.5),
        ("retry_after", None),
        ("unavailable_retry_after", "soon"),
        ("rate_limit", 0),
        ("max_open", 0),
        ("max_open", 1.5),
        ("max_open", True),
        ("rate_limit", True),
        ("outage", 1),
        ("outage", "yes"),
        ("token_revoked", None),
        ("seed", 1.5),
    ],
)
def test_a_value_out_of_its_limits_is_named_with_what_is_possible(name: str, value: object) -> None:
    with pytest.raises(FaultError, match=f"^{name} must be .*, not "):
        read_faults({name: value})


@pytest.mark.parametrize("data", [None, [], "latency", 5])
def test_faults_that_are_no_object_are_refused_with_the_names_there_are(data: object) -> None:
    with pytest.raises(FaultError, match=", ".join(FAULT_FIELDS)):
        read_faults(data)


def test_rates_above_one_together_are_refused() -> None:
    with pytest.raises(FaultError, match=r"add up to 1\.2"):
        read_faults({"server_error": 0.6, "hang": 0.6})
    with pytest.raises(FaultError, match=r"add up to 1\.2"):
        read_faults({"server_error": 0.6}, base=Faults(hang=0.6))


def test_rates_may_add_up_to_one_in_floating_point() -> None:
    # 1.0000000000000002, if added one by one.
    rates = {"bad_request": 0.2, "throttled": 0.4, "server_error": 0.3, "unavailable": 0.1}
    assert read_faults(rates).throttled == 0.4
