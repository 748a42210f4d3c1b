"""The sandbox speaks HTTP/1.1 with clients good and bad."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from sandbox_sender.launch import RunningSandbox, run_sandbox
from sandbox_sender.protocol import LARGEST_REQUEST

OK = b'{"code": 0, "message": "OK"}'
next_id = count(1).__next__


@contextmanager
def connect(sandbox: RunningSandbox) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", sandbox.port), 5) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client


def build_request(
    message_id: int, headers: str = "", version: str = "1.1", text: str = "Hello"
) -> bytes:
    body = json.dumps({"id": message_id, "phone": 79991234567, "text": text})
    return (
        f"POST /send/{message_id} HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer sandbox\r\n"
        f"{headers}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def read_answers(client: socket.socket, number: int) -> list[bytes]:
    """Read so many answers, each with a length, and return their bodies."""
    bodies: list[bytes] = []
    with client.makefile("rb") as stream:
        for _ in range(number):
            length = 0
            while (line := stream.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            bodies.append(stream.read(length))
    return bodies


def read_to_end(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < deadline, "It did not happen within five seconds."
        time.sleep(0.002)


def get_accepted(sandbox: RunningSandbox) -> int:
    accepted: int = sandbox.get("/stats")["accepted"]
    return accepted


def assert_serves(sandbox: RunningSandbox) -> None:
    with connect(sandbox) as client:
        client.sendall(build_request(next_id()))
        assert read_answers(client, 1) == [OK]


def test_a_connection_serves_many_requests(sandbox: RunningSandbox) -> None:
    with connect(sandbox) as client:
        for _ in range(50):
            client.sendall(build_request(next_id()))
            assert read_answers(client, 1) == [OK]


def test_pipelined_requests_are_answered_in_order(sandbox: RunningSandbox) -> None:
    accepted = get_accepted(sandbox)
    pairs = [build_request(next_id()) + b"GET /nothing HTTP/1.1\r\n\r\n" for _ in range(20)]
    with connect(sandbox) as client:
        client.sendall(b"".join(pairs))
        codes = [json.loads(body)["code"] for body in read_answers(client, 40)]
    assert codes == [0, 404] * 20
    assert get_accepted(sandbox) == accepted + 20


def test_pipelined_requests_are_answered_in_order_when_they_wait_unequally(
    sandbox: RunningSandbox,
) -> None:
    sandbox.set_faults(jitter=0.05)
    with connect(sandbox) as client:
        bad = build_request(next_id()).replace(b"sandbox", b"another")
        client.sendall((build_request(next_id()) + bad) * 10 + b"GET /x HTTP/1.1\r\n\r\n")
        codes = [json.loads(body)["code"] for body in read_answers(client, 21)]
    assert codes == [0, 401] * 10 + [404]


def test_a_request_may_come_byte_by_byte(sandbox: RunningSandbox) -> None:
    with connect(sandbox) as client:
        for _ in range(2):
            request = build_request(next_id(), "Content-Type: application/json\r\n")
            for position in range(len(request)):
                client.send(request[position : position + 1])
            assert read_answers(client, 1) == [OK]


def test_a_body_may_come_in_chunks(sandbox: RunningSandbox) -> None:
    message_id = next_id()
    body = json.dumps({"id": message_id, "phone": 79991234567, "text": "Hello"}).encode()
    chunks = b"".join(b"%x\r\n%b\r\n" % (1, body[i : i + 1]) for i in range(len(body)))
    with connect(sandbox) as client:
        client.sendall(
            b"POST /send/%d HTTP/1.1\r\nauthorization: bearer sandbox\r\n" % message_id
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + chunks
            + b"0\r\n\r\n"
        )
        assert read_answers(client, 1) == [OK]


def test_a_large_text_is_accepted(sandbox: RunningSandbox) -> None:
    with connect(sandbox) as client:
        client.sendall(build_request(next_id(), text="x" * (LARGEST_REQUEST - 1000)))
        assert read_answers(client, 1) == [OK]


def test_a_huge_body_is_413_though_the_client_still_writes(sandbox: RunningSandbox) -> None:
    accepted = get_accepted(sandbox)
    request = build_request(next_id(), text="x" * (4 * LARGEST_REQUEST))
    with connect(sandbox) as client:
        client.sendall(request[: 2 * LARGEST_REQUEST])
        answer = client.recv(1)
        # Were the connection closed by now, the client would meet a reset instead of the answer.
        sandbox.get("/stats")
        client.sendall(request[2 * LARGEST_REQUEST :])
        answer += read_to_end(client)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1") == 1
    assert get_accepted(sandbox) == accepted
    assert_serves(sandbox)


def test_a_header_without_end_is_refused(sandbox: RunningSandbox) -> None:
    with connect(sandbox) as client:
        client.sendall(b"POST /send/1 HTTP/1.1\r\nX: " + b"x" * (2 * LARGEST_REQUEST))
        assert read_to_end(client).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x00\x01\x02\xff\xfe",
        b"Hello, who is there?\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /send/1 HTTP/9.9\r\n\r\n",
        b"POST /send/1 HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST /send/1 HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /send/1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"GET /x HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05Hello",
    ],
    ids=["binary", "prose", "tls", "version", "length", "smuggling", "chunk", "upgrade"],
)
def test_nonsense_ends_its_own_connection_only(sandbox: RunningSandbox, nonsense: bytes) -> None:
    with connect(sandbox) as bystander, connect(sandbox) as client:
        client.sendall(nonsense)
        answer = read_to_end(client)
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 "))
        assert b"\r\nConnection: close\r\n" in answer
        bystander.sendall(build_request(next_id()))
        assert read_answers(bystander, 1) == [OK]


def test_what_came_before_nonsense_is_answered(sandbox: RunningSandbox) -> None:
    with connect(sandbox) as client:
        client.sendall(build_request(next_id()) + b"nonsense\r\n\r\n")
        answer = read_to_end(client)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answer) == [b"200", b"400"]


@pytest.mark.parametrize(
    ("headers", "version"), [("Connection: close\r\n", "1.1"), ("", "1.0")], ids=["close", "1.0"]
)
@pytest.mark.parametrize("latency", [0, 0.01])
def test_a_connection_that_shall_not_be_kept_ends_after_its_answer(
    sandbox: RunningSandbox, headers: str, version: str, latency: float
) -> None:
    sandbox.set_faults(latency=latency)
    accepted = get_accepted(sandbox)
    with connect(sandbox) as client:
        client.sendall(build_request(next_id(), headers, version) + build_request(next_id()))
        answer = read_to_end(client)
    assert answer.endswith(OK)
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1") == 1
    assert get_accepted(sandbox) == accepted + 1


def test_a_client_that_asks_first_is_invited_to_send_its_body(sandbox: RunningSandbox) -> None:
    head, _, body = build_request(next_id(), "Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    with connect(sandbox) as client:
        client.sendall(head + b"\r\n\r\n")
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert read_answers(client, 1) == [OK]


def test_a_client_that_closes_its_side_gets_its_answers(sandbox: RunningSandbox) -> None:
    with connect(sandbox) as client:
        client.sendall(build_request(next_id()))
        assert read_answers(client, 1) == [OK]
        # Asleep, the sandbox finds the request and the end together.
        sandbox.process.send_signal(signal.SIGSTOP)
        client.sendall(build_request(next_id()) * 2)
        client.shutdown(socket.SHUT_WR)
        sandbox.process.send_signal(signal.SIGCONT)
        assert read_to_end(client).count(OK) == 2


def test_nothing_is_taken_after_a_request_that_hangs(sandbox: RunningSandbox) -> None:
    rejected = sandbox.get("/stats")["rejected"]
    sandbox.set_faults(hang=1)
    with connect(sandbox) as client:
        client.sendall(build_request(next_id()) * 2)
        wait_until(lambda: sandbox.get("/stats")["in_flight"] == 1)
        assert sandbox.get("/stats")["rejected"] == rejected + 1
    wait_until(lambda: sandbox.get("/stats")["in_flight"] == 0)


def test_a_client_that_leaves_amid_a_request_is_forgotten(sandbox: RunningSandbox) -> None:
    accepted = get_accepted(sandbox)
    with connect(sandbox) as client:
        client.sendall(build_request(next_id())[:-1])
    assert_serves(sandbox)
    assert get_accepted(sandbox) == accepted + 1


def test_a_client_that_leaves_before_its_answers_is_forgotten(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(latency=0.05)
    with connect(sandbox) as client:
        client.sendall(build_request(next_id()) * 3)
        wait_until(lambda: sandbox.get("/stats")["in_flight"] == 3)
    wait_until(lambda: sandbox.get("/stats")["in_flight"] == 0)
    assert_serves(sandbox)


def test_a_client_that_reads_no_answers_is_not_read_from() -> None:
    # A sandbox of its own, so that its page is short and quick.
    with run_sandbox() as sandbox, connect(sandbox) as client:
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            ask_without_reading(client, most_bytes=100 * 1024 * 1024)
        assert_serves(sandbox)
        # What it asked for is still there once it reads.
        client.settimeout(5)
        assert all(body.startswith(b"<!doctype html>") for body in read_answers(client, 500))


def ask_without_reading(client: socket.socket, most_bytes: int) -> None:
    request = b"GET / HTTP/1.1\r\nX: %b\r\n\r\n" % (b"x" * 4000)
    for _ in range(most_bytes // len(request)):
        client.sendall(request)


@pytest.mark.parametrize(
    "host", ["rebind.evil.example", "Evil.Example:8025", "127.0.0.1.evil.example."]
)
@pytest.mark.parametrize("request_line", ["GET /inbox.json", "GET /", "PUT /faults", "GET /stats"])
def test_pages_are_not_for_other_sites_that_point_their_name_here(
    sandbox: RunningSandbox, request_line: str, host: str
) -> None:
    assert ask(sandbox, request_line, host).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8025",
        "127.0.0.1:8025",
        "[::1]:8025",
        "192.0.2.1",
        "sandbox",
        "a.localhost",
    ],
)
def test_pages_are_for_those_who_use_the_sandbox(sandbox: RunningSandbox, host: str) -> None:
    assert ask(sandbox, "GET /stats", host).startswith(b"HTTP/1.1 200")


def ask(sandbox: RunningSandbox, request_line: str, host: str) -> bytes:
    words = f"{request_line} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{{}}"
    with connect(sandbox) as client:
        client.sendall(words.encode())
        return client.recv(4096)
