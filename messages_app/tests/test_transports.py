"""One contract, two transports: every submitted request comes back as exactly one answer."""

import json
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from email.utils import format_datetime, formatdate
from itertools import count
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Thread

import pycurl
import pytest
import responses
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from pytest_django import Settings

from messages_app import sender
from messages_app.sender import Answer, Failure, Request, Transport, Verdict, classify
from messages_app.sender.throttle import START
from messages_app.sender.transports import base
from messages_app.sender.transports.base import MAX_BODY, authorities, is_loopback
from messages_app.sender.transports.curl import CurlTransport
from messages_app.sender.transports.requests import RequestsTransport
from messages_app.sender.transports.throttled import ThrottledTransport
from tests.certificates import Certificate, make_certificate
from tests.sandbox import TOKEN, Sandbox, running_sandbox
from tests.servers import free_port

TLS_HANDSHAKE = b"\x16"
TRANSPORTS = "messages_app.sender.transports"
ACCEPTED = b'{"code": 0, "message": "OK"}'
next_id = count(1).__next__


@pytest.fixture(params=[CurlTransport, RequestsTransport])
def backend(request: pytest.FixtureRequest) -> type[Transport]:
    backend: type[Transport] = request.param
    return backend


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Iterator[Sandbox]:
    yield running
    running.set_faults()


@pytest.fixture
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("curl", "requests"):
        monkeypatch.setattr(f"{TRANSPORTS}.{module}.CONNECT_TIMEOUT", 1)


def connect(
    backend: type[Transport],
    url: str,
    concurrency: int = 4,
    timeout: float = 10,
    may_repeat: bool = True,
) -> Transport:
    return backend(
        url=url, token=TOKEN, concurrency=concurrency, timeout=timeout, may_repeat=may_repeat
    )


def request(pk: int, phone_number: str, text: str) -> Request:
    """Return a request for a message that the sender knows by the same id."""
    return Request(pk, pk, phone_number, text)


def send(transport: Transport, number: int = 1) -> list[Answer]:
    """Send so many messages, as many at once as can be; return their answers in order."""
    waiting = [request(next_id(), "79991234567", '"Hello"') for _ in range(number)]
    answers: list[Answer] = []
    deadline = time.monotonic() + 20
    while waiting or not transport.is_idle:
        while waiting and transport.capacity:
            transport.submit(waiting.pop())
        answers += transport.poll(0.05)
        assert time.monotonic() < deadline
    return sorted(answers, key=lambda answer: answer.id)


def send_one(backend: type[Transport], url: str, timeout: float = 10) -> Answer:
    (answer,) = send(connect(backend, url, timeout=timeout))
    return answer


# What is said, byte for byte; or a function that makes it of a request's headers and body.
Piece = bytes | Callable[[dict[str, str], bytes], bytes]


class ScriptedSender(ThreadingTCPServer):
    """A server that says on every request what it is told to."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *pieces: Piece, closes: bool = False) -> None:
        self.pieces = pieces
        self.closes = closes
        self.interval = 0.0  # seconds between the spaces that follow for ever; 0 means none follow
        self.connections = 0
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.closed = Event()
        self.over = Event()
        super().__init__(("127.0.0.1", 0), ScriptedConnection)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class ScriptedConnection(StreamRequestHandler):
    server: ScriptedSender

    def handle(self) -> None:
        self.server.connections += 1
        if self.request.recv(1, socket.MSG_PEEK) == TLS_HANDSHAKE:
            self.wfile.write(b"There is no TLS here.")
            return
        while line := self.rfile.readline().decode().strip():
            headers = {}
            while header := self.rfile.readline().decode().strip():
                name, _, value = header.partition(": ")
                headers[name.lower()] = value
            body = self.rfile.read(int(headers["content-length"]))
            self.server.requests.append((line, headers, body))
            with suppress(ConnectionError):  # Whoever has heard enough hangs up.
                self.say()
            if self.server.closes:
                break

    def say(self) -> None:
        for piece in self.server.pieces:
            if callable(piece):
                self.wfile.write(piece(*self.server.requests[-1][1:]))
            elif piece:
                self.wfile.write(piece)
            else:  # An empty piece is silence, to the end of the test.
                self.server.over.wait(20)
        while self.server.interval and not self.server.over.wait(self.server.interval):
            self.wfile.write(b" ")

    def finish(self) -> None:
        super().finish()
        self.request.close()
        self.server.closed.set()


Script = Callable[..., ScriptedSender]


@pytest.fixture
def script() -> Iterator[Script]:
    """Return a function that starts a sender of such answers."""
    servers = []

    def start(*pieces: Piece, closes: bool = False) -> ScriptedSender:
        server = ScriptedSender(*pieces, closes=closes)
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def http(body: bytes = ACCEPTED, status: str = "200 OK", **headers: str) -> bytes:
    headers = {"Content-Length": str(len(body)), **headers}
    lines = [
        f"HTTP/1.1 {status}",
        *(f"{name.replace('_', '-')}: {headers[name]}" for name in headers),
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class TestExchange:
    def test_an_accepted_message_comes_back_as_the_senders_answer(
        self, backend: type[Transport], sandbox: Sandbox
    ) -> None:
        transport = connect(backend, sandbox.api_url)
        number = next_id()
        transport.submit(request(number, "79991234567", json.dumps("Привет 👋")))
        answers: list[Answer] = []
        while not transport.is_idle:
            answers += transport.poll(0.05)
        (answer,) = answers
        assert 0 < answer.latency <= answer.seconds
        assert answer == Answer(
            number, status=200, body=ACCEPTED, seconds=answer.seconds, latency=answer.latency
        )
        assert sandbox.inbox()[0]["text"] == "Привет 👋"
        assert sandbox.inbox()[0]["phone"] == 79991234567

    @pytest.mark.parametrize(
        "text", ["Привет, мир 👋🏽", 'quotes " \\ and \x00 and \u2028', "ы" * 4096, ""]
    )
    def test_the_request_is_what_the_contract_says(
        self, backend: type[Transport], script: Script, text: str
    ) -> None:
        server = script(http())
        transport = connect(backend, server.url)
        transport.submit(request(2**63 - 1, "79991234567", json.dumps(text)))
        while not transport.is_idle:
            transport.poll(0.05)
        ((line, headers, body),) = server.requests
        assert line == f"POST /v1/send/{2**63 - 1} HTTP/1.1"
        assert headers["authorization"] == f"Bearer {TOKEN}"
        assert headers["content-type"] == "application/json"
        assert "expect" not in headers
        assert json.loads(body) == {"id": 2**63 - 1, "phone": 79991234567, "text": text}

    def test_the_request_names_the_one_of_ours_that_it_is_sent_for(
        self, backend: type[Transport], script: Script
    ) -> None:
        server = script(http())
        transport = connect(backend, server.url, concurrency=1)
        for request_id in ("", "from-the-shop", "from-the-shop", "another", ""):
            pk = next_id()
            transport.submit(Request(pk, pk, "79991234567", '"Hello"', request_id))
            while not transport.is_idle:
                transport.poll(0.05)
        named = [headers.get("x-correlation-id") for _, headers, _ in server.requests]
        assert named == [None, "from-the-shop", "from-the-shop", "another", None]
        assert server.connections == 1

    def test_every_request_comes_back_once_whatever_happens_to_it(
        self, backend: type[Transport], sandbox: Sandbox
    ) -> None:
        faults = "bad_request throttled server_error unavailable wrong_code garbage"
        sandbox.set_faults(
            **dict.fromkeys([*faults.split(), "reset_before", "reset_after"], 0.1), seed=1
        )
        first = next_id()
        answers = send(connect(backend, sandbox.api_url, concurrency=20), 300)
        assert [answer.id for answer in answers] == list(range(first + 1, first + 301))
        sent = {answer.id for answer in answers if classify(answer).is_success}
        assert 20 < len(sent) < 150
        assert sent <= sandbox.journal().accepted.keys()

    def test_what_is_free_and_what_is_open_add_up(
        self, backend: type[Transport], sandbox: Sandbox
    ) -> None:
        transport = connect(backend, sandbox.api_url, concurrency=3)
        assert (transport.capacity, transport.is_idle) == (3, True)
        for capacity in (2, 1, 0):
            transport.submit(request(next_id(), "79991234567", '"Hello"'))
            assert (transport.capacity, transport.is_idle) == (capacity, False)
        answers: list[Answer] = []
        while not transport.is_idle:
            answers += transport.poll(0.05)
            assert transport.capacity == len(answers)
        assert len(answers) == 3

    def test_as_many_are_open_at_once_as_was_agreed(
        self, backend: type[Transport], sandbox: Sandbox
    ) -> None:
        sandbox.set_faults(latency=5)
        transport = connect(backend, sandbox.api_url, concurrency=10)
        for _ in range(10):
            transport.submit(request(next_id(), "79991234567", '"Hello"'))
        deadline = time.monotonic() + 4
        while sandbox.stats()["in_flight"] < 10:
            assert transport.poll(0.01) == []
            assert time.monotonic() < deadline
        sandbox.set_faults(outage=True)
        while not transport.is_idle:
            transport.poll(0.05)

    def test_waiting_for_nothing_takes_no_time(
        self, backend: type[Transport], sandbox: Sandbox
    ) -> None:
        transport = connect(backend, sandbox.api_url)
        began_at = time.monotonic()
        assert transport.poll(10) == []
        assert time.monotonic() - began_at < 5

    def test_waiting_ends_after_its_time(self, backend: type[Transport], script: Script) -> None:
        server = script(b"", closes=True)
        transport = connect(backend, server.url)
        transport.submit(request(1, "79991234567", '"Hello"'))
        began_at = time.monotonic()
        while not server.requests:
            assert transport.poll(0.01) == []
        assert time.monotonic() - began_at < 5
        server.over.set()
        while not transport.is_idle:
            transport.poll(0.05)


class TestConnections:
    def test_connections_are_kept_alive(self, backend: type[Transport], script: Script) -> None:
        server = script(http())
        transport = connect(backend, server.url)
        for _ in range(20):
            send(transport)
        assert (len(server.requests), server.connections) == (20, 1)

    def test_there_are_no_more_than_open_requests(
        self, backend: type[Transport], script: Script
    ) -> None:
        server = script(http())
        send(connect(backend, server.url, concurrency=3), 60)
        assert len(server.requests) == 60
        assert server.connections <= 3

    def test_one_that_the_sender_closed_is_replaced(
        self, backend: type[Transport], script: Script
    ) -> None:
        server = script(http(), closes=True)
        transport = connect(backend, server.url)
        for _ in range(5):
            server.closed.clear()
            (answer,) = send(transport)
            assert answer.status == 200
            assert server.closed.wait(5)

    def test_a_refused_one_means_not_sent(self, backend: type[Transport]) -> None:
        answer = send_one(backend, f"http://127.0.0.1:{free_port()}/v1")
        assert answer.failure is Failure.NOT_CONNECTED
        assert classify(answer).error_code == "unavailable"

    def test_an_unknown_host_means_not_sent(self, backend: type[Transport]) -> None:
        assert send_one(backend, "http://sender.invalid/v1").failure is Failure.NOT_CONNECTED

    def test_no_file_is_read_whatever_the_address_says(
        self, backend: type[Transport], tmp_path: Path
    ) -> None:
        (tmp_path / "send").mkdir()
        (tmp_path / "send" / "1").write_text('{"code": 0, "message": "OK"}')
        transport = connect(backend, f"file://{tmp_path}")
        transport.submit(request(1, "79991234567", '"Hello"'))
        answers: list[Answer] = []
        while not transport.is_idle:
            answers += transport.poll(0.05)
        (answer,) = answers
        assert answer.failure
        assert not answer.body

    def test_a_lost_list_of_authorities_means_not_sent(
        self, script: Script, tmp_path: Path
    ) -> None:
        server = script(http())
        url = server.url.replace("http:", "https:")
        transport = CurlTransport(url=url, token=TOKEN, concurrency=1, timeout=9, may_repeat=True)
        exchange = transport._new_exchange()
        exchange.handle.setopt(pycurl.CAINFO, str(tmp_path / "lost.pem"))
        transport._idle.append(exchange)
        (answer,) = send(transport)
        assert answer.failure is Failure.NOT_CONNECTED

    @pytest.mark.usefixtures("short_timeout")
    def test_a_timeout_before_connecting_means_not_sent(self, backend: type[Transport]) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            queue = [socket.socket() for _ in range(3)]
            for waiting in queue:
                waiting.setblocking(False)
                waiting.connect_ex(listener.getsockname())
            answer = send_one(backend, f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
            for waiting in queue:
                waiting.close()
        assert answer.failure is Failure.NOT_CONNECTED

    def test_a_failed_tls_handshake_means_not_sent(
        self, backend: type[Transport], script: Script
    ) -> None:
        server = script(http())
        answer = send_one(backend, server.url.replace("http:", "https:"))
        assert answer.failure is Failure.NOT_CONNECTED

    def test_an_outage_is_over_when_the_sender_is_back(
        self, backend: type[Transport], sandbox: Sandbox
    ) -> None:
        transport = connect(backend, sandbox.api_url)
        send(transport, 4)
        sandbox.set_faults(outage=True)
        for answer in send(transport, 8):
            assert answer.failure in (Failure.NOT_CONNECTED, Failure.BROKEN)
        sandbox.set_faults()
        assert all(classify(answer).is_success for answer in send(transport, 8))


def _is_honest(verdict: Verdict) -> bool:
    """Tell whether a verdict on a message that the sender has leaves that possible."""
    return verdict.is_success or verdict.is_unclear


class TestProxy:
    """What the environment names as a proxy is for others, not for this machine's own ports."""

    @pytest.fixture(autouse=True)
    def _proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.port = free_port()
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{self.port}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)

    def test_no_proxy_comes_between_us_and_this_machine(
        self, backend: type[Transport], sandbox: Sandbox
    ) -> None:
        (answer,) = send(connect(backend, sandbox.url))
        assert (answer.status, answer.body) == (200, ACCEPTED)

    def test_elsewhere_the_proxy_is_asked(self, backend: type[Transport]) -> None:
        (answer,) = send(connect(backend, "http://sender.example"))
        assert answer.failure
        assert str(self.port) in answer.detail

    @pytest.mark.parametrize(
        ("url", "is_local"),
        [
            ("http://127.0.0.1:8025/v1", True),
            ("http://127.9.9.9/v1", True),
            ("http://[::1]:8025/v1", True),
            ("http://localhost:8025/v1", True),
            ("http://LOCALHOST/v1", True),
            ("https://probe.fbrq.cloud/v1", False),
            ("http://localhost.example.com/v1", False),
            ("http://10.0.0.1/v1", False),
            ("http://127.0.0.1.example.com/v1", False),
        ],
    )
    def test_this_machine_is_told_by_its_address(self, url: str, is_local: bool) -> None:
        assert is_loopback(url) is is_local


class TestUnclearEnds:
    @pytest.mark.parametrize("fault", ["hang", "hang_after"])
    def test_a_timeout_after_connecting_is_unclear(
        self, backend: type[Transport], sandbox: Sandbox, fault: str
    ) -> None:
        transport = connect(backend, sandbox.api_url, timeout=0.5)
        send(transport)  # so that the connection is an old one
        sandbox.set_faults(**{fault: 1})
        for answer in send(transport, 2):
            assert answer.failure is Failure.TIMEOUT
            assert 0.4 < answer.seconds < 5
            assert classify(answer).error_code == "unconfirmed"

    def test_a_body_that_does_not_end_is_unclear(
        self, backend: type[Transport], script: Script
    ) -> None:
        server = script(http(ACCEPTED)[:-5], b"")
        assert classify(send_one(backend, server.url, timeout=0.5)).error_code == "unconfirmed"

    def test_a_kept_connection_that_is_cut_does_not_make_it_send_twice_where_it_must_not(
        self, backend: type[Transport], tmp_path: Path
    ) -> None:
        with running_sandbox(tmp_path, "--no-deduplicate") as sandbox:
            sandbox.set_faults(reset_after=0.3, seed=1)
            answers = send(connect(backend, sandbox.api_url, may_repeat=False), 60)
            accepted = sandbox.journal().accepted
        assert len(accepted) == len(answers) == 60
        assert set(accepted.values()) == {1}
        assert {answer.failure for answer in answers} == {None, Failure.BROKEN}

    @pytest.mark.parametrize("may_repeat", [False, True])
    def test_a_refusal_after_a_cut_does_not_hide_that_it_may_have_arrived(
        self, backend: type[Transport], sandbox: Sandbox, may_repeat: bool
    ) -> None:
        """What the transport repeats by itself may be refused, when the first was taken."""
        transport = connect(backend, sandbox.api_url, may_repeat=may_repeat)
        send(transport, 4)
        sandbox.set_faults(reset_after=0.4, unavailable=0.4, seed=1)
        verdicts = {answer.id: classify(answer) for answer in send(transport, 200)}
        accepted = sandbox.journal().accepted.keys() & verdicts.keys()
        assert 50 < len(accepted) < 200
        assert [verdicts[pk] for pk in accepted if not _is_honest(verdicts[pk])] == []

    @pytest.mark.parametrize("fault", ["reset_before", "reset_after"])
    @pytest.mark.parametrize("is_warm", [False, True])
    def test_a_reset_is_unclear(
        self, backend: type[Transport], sandbox: Sandbox, fault: str, is_warm: bool
    ) -> None:
        transport = connect(backend, sandbox.api_url)
        send(transport, 4 if is_warm else 0)
        sandbox.set_faults(**{fault: 1})
        for answer in send(transport, 2):
            assert answer.failure is Failure.BROKEN
            assert classify(answer).error_code == "unconfirmed"

    @pytest.mark.parametrize(
        "pieces",
        [
            (),
            (b"I am not HTTP.\r\n\r\n",),
            (http()[:-5],),
            (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"cod',),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",),
        ],
    )
    def test_half_an_answer_or_none_is_unclear(
        self, backend: type[Transport], script: Script, pieces: tuple[bytes, ...]
    ) -> None:
        server = script(*pieces, closes=True)
        answer = send_one(backend, server.url)
        assert answer.failure is Failure.BROKEN
        assert answer.detail


class TestAnswers:
    @pytest.mark.parametrize("status", ["201 Created", "400 Bad", "401 No", "429 Slow", "500 Ouch"])
    def test_status_and_body_come_through(
        self, backend: type[Transport], script: Script, status: str
    ) -> None:
        server = script(http("Нет 👋".encode(), status))
        answer = send_one(backend, server.url)
        assert (answer.status, answer.body.decode()) == (int(status[:3]), "Нет 👋")
        assert answer.failure is None

    @pytest.mark.parametrize("latency", [0, 0.3])
    def test_how_long_it_took_comes_with_it(
        self, backend: type[Transport], sandbox: Sandbox, latency: float
    ) -> None:
        sandbox.set_faults(latency=latency)
        assert latency <= send_one(backend, sandbox.api_url).seconds < latency + 5

    def test_half_a_header_is_no_acceptance(self, backend: type[Transport], script: Script) -> None:
        server = script(b"HTTP/1.1 200 OK\r\nContent-Len", closes=True)
        assert not classify(send_one(backend, server.url)).is_success

    def test_a_body_in_pieces_is_put_together(
        self, backend: type[Transport], script: Script
    ) -> None:
        chunks = [b"1\r\n%c\r\n" % byte for byte in ACCEPTED]
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        server = script(head, *chunks, b"0\r\n\r\n")
        transport = connect(backend, server.url)
        for _ in range(3):
            (answer,) = send(transport)
            assert (answer.status, answer.body) == (200, ACCEPTED)
        assert server.connections == 1

    def test_a_body_without_a_length_ends_with_the_connection(
        self, backend: type[Transport], script: Script
    ) -> None:
        server = script(b"HTTP/1.1 200 OK\r\n\r\n", ACCEPTED[:9], ACCEPTED[9:], closes=True)
        assert send_one(backend, server.url).body == ACCEPTED

    def test_an_empty_body_is_empty(self, backend: type[Transport], script: Script) -> None:
        server = script(http(b"", "204 No Content"))
        assert (send_one(backend, server.url).status, send_one(backend, server.url).body) == (
            204,
            b"",
        )

    @pytest.mark.parametrize("is_chunked", [False, True])
    def test_an_oversized_body_is_neither_kept_nor_believed(
        self, backend: type[Transport], script: Script, is_chunked: bool
    ) -> None:
        body = ACCEPTED + b" " * 100 * MAX_BODY
        if is_chunked:
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            whole = head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        else:
            whole = http(body)
        server = script(whole)
        transport = connect(backend, server.url)
        for answer in send(transport, 4):
            assert (answer.failure, answer.body) == (Failure.BROKEN, b"")

    def test_a_redirect_is_not_followed(
        self, backend: type[Transport], script: Script, sandbox: Sandbox
    ) -> None:
        before = sandbox.sends()
        location = f"{sandbox.api_url}/send/1"
        server = script(http(b"", "307 Temporary Redirect", Location=location))
        assert send_one(backend, server.url).status == 307
        assert (len(server.requests), sandbox.sends()) == (1, before)

    def test_an_interim_answer_is_not_the_answer(
        self, backend: type[Transport], script: Script
    ) -> None:
        server = script(b"HTTP/1.1 100 Continue\r\n\r\n", http())
        assert send_one(backend, server.url).status == 200

    def test_a_netrc_file_does_not_replace_the_token(
        self,
        backend: type[Transport],
        sandbox: Sandbox,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        file = tmp_path / "netrc"
        file.write_text("default login somebody password else\n")
        file.chmod(0o600)
        monkeypatch.setenv("NETRC", str(file))
        assert send_one(backend, sandbox.api_url).status == 200


class TestDeadline:
    """An answer that keeps coming does not come in time."""

    @pytest.mark.parametrize(
        "head",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + ACCEPTED,
            b"HTTP/1.1 200 OK\r\n\r\n" + ACCEPTED,
            b"HTTP/1.1 200 OK\r\nX-Long:",
        ],
        ids=["body", "body without a length", "headers"],
    )
    def test_an_answer_that_trickles_in_ends_with_the_time_for_all_of_it(
        self, backend: type[Transport], script: Script, head: bytes
    ) -> None:
        server = script(head)
        server.interval = 0.05
        transport = connect(backend, server.url, timeout=1)
        answers = send(transport, 3)  # which gives up after 20 s
        assert {answer.failure for answer in answers} == {Failure.TIMEOUT}
        assert all(answer.seconds >= 0.9 for answer in answers)
        assert transport.capacity == 4
        server.interval = 0
        server.pieces = (http(),)
        assert classify(send(transport)[0]).is_success

    def test_waiting_for_an_answer_ends_with_the_time_for_it(
        self, backend: type[Transport], script: Script
    ) -> None:
        server = script(b"HTTP/1.1 200 OK\r\n\r\n")
        server.interval = 0.05
        transport = connect(backend, server.url, timeout=0.5)
        transport.submit(request(next_id(), "79991234567", '"Hello"'))
        deadline = time.monotonic() + 15
        while not transport.is_idle:
            transport.poll(20)
            assert time.monotonic() < deadline


class TestSecrets:
    @pytest.fixture(autouse=True)
    def _secrets(self, settings: Settings) -> None:
        settings.MESSAGE_SENDER_TOKEN = TOKEN

    @pytest.mark.parametrize("status", ["200 OK", "400 No", "401 No", "404 No", "500 Ouch"])
    def test_a_sender_that_repeats_our_words_gets_them_into_no_error(
        self, backend: type[Transport], script: Script, status: str
    ) -> None:
        server = script(
            lambda headers, body: http(f"{headers['authorization']} ".encode() + body, status)
        )
        answer = send_one(backend, server.url)
        assert TOKEN in answer.body.decode()
        assert "79991234567" in answer.body.decode()
        error = classify(answer).error
        assert f'Bearer *** {{"id": {answer.id}, "phone": ***' in error
        assert TOKEN not in error

    def test_an_address_with_a_password_keeps_it_to_itself(
        self, backend: type[Transport], script: Script, settings: Settings
    ) -> None:
        server = script(http(b"http://me:p4ssword@sender.example/v1", "404 Not Found"))
        with_password = server.url.replace("//", "//me:p4ssword@")
        nobody = f"http://me:p4ssword@127.0.0.1:{free_port()}/v1"
        unknown = "http://me:p4ssword@sender.invalid/v1"
        for url in (with_password, nobody, unknown):
            settings.MESSAGE_SENDER_URL = url
            error = classify(send_one(backend, url)).error
            assert error
            assert "p4ssword" not in error
        ((_, headers, _),) = server.requests
        assert headers["authorization"] == f"Bearer {TOKEN}"


class TestRetryAfter:
    @pytest.mark.parametrize("fault", ["throttled", "unavailable"])
    @pytest.mark.parametrize("as_date", [False, True])
    def test_retry_after_is_read_in_both_forms(
        self, backend: type[Transport], sandbox: Sandbox, fault: str, as_date: bool
    ) -> None:
        sandbox.set_faults(
            **{fault: 1, "retry_after": 90, "unavailable_retry_after": 90},
            retry_after_date=as_date,
        )
        # A date has whole seconds.
        assert 85 <= send_one(backend, sandbox.api_url).retry_after <= 91

    @pytest.mark.parametrize(
        ("value", "low", "high"),
        [
            ("0", 0, 0),
            ("120", 120, 120),
            ("", 0, 0),
            ("-5", 0, 0),
            ("soon", 0, 0),
            ("1.5", 0, 1),
            ("\xb2", 0, 0),
            ("9" * 5000, 0, 2**63),
            (formatdate(0, usegmt=True), 0, 0),
            ("Wed, 99 Foo 2026 07:28:00 GMT", 0, 0),
            # libcurl waits for six hours at most.
            (format_datetime(timezone.now().replace(year=2300)), 21_600, 10**10),
            (format_datetime(timezone.now().replace(year=2300, tzinfo=None)), 21_600, 10**10),
        ],
        ids=[
            *[
                "0",
                "120",
                "none",
                "-5",
                "soon",
                "1.5",
                "²",
                "9999",
                "past",
                "wrong",
                "future",
                "zoneless",
            ]
        ],
    )
    def test_any_value_is_taken_for_what_it_may_mean(
        self, backend: type[Transport], script: Script, value: str, low: int, high: int
    ) -> None:
        server = script(http(b"", "503 Not Now", Retry_After=value))
        answer = send_one(backend, server.url)
        assert answer.status == 503
        assert low <= answer.retry_after <= high

    def test_without_a_retry_after_the_wait_is_zero(
        self, backend: type[Transport], sandbox: Sandbox
    ) -> None:
        sandbox.set_faults(unavailable=1)
        assert send_one(backend, sandbox.api_url).retry_after == 0


class TestRequestsTransport:
    @responses.activate
    def test_it_sends_through_the_requests_library(self) -> None:
        url = "https://sender.example/v1/send/5"
        responses.post(url, json={"code": 0, "message": "OK"})
        transport = connect(RequestsTransport, "https://sender.example/v1")
        transport.submit(request(5, "79991234567", '"Hello"'))
        (answer,) = transport.poll(5)
        assert classify(answer).is_success
        (call,) = responses.calls
        assert json.loads(call.request.body or "") == {
            "id": 5,
            "phone": 79991234567,
            "text": "Hello",
        }


class TestManyFiles:
    @pytest.fixture
    def _many_files(self) -> Iterator[None]:
        """Take all files that select() knows."""
        before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (2048, most))
        with ExitStack() as stack:
            while stack.enter_context(open(os.devnull)).fileno() < 1024:
                pass
            yield
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))

    @pytest.mark.usefixtures("_many_files")
    def test_requests_beyond_what_select_knows_are_answered_too(
        self, backend: type[Transport], sandbox: Sandbox
    ) -> None:
        transport = connect(backend, sandbox.api_url)
        sandbox.set_faults(latency=0.02)
        assert {answer.status for answer in send(transport, 10)} == {200}


class TestChoice:
    @pytest.fixture(autouse=True)
    def _fresh(self, settings: Settings) -> Iterator[None]:
        settings.MESSAGE_SENDER_TOKEN = TOKEN
        settings.MESSAGE_SENDER_CONCURRENCY = 4
        sender.transport.cache_clear()
        yield
        sender.transport.cache_clear()

    def test_libcurl_is_the_default(self) -> None:
        assert isinstance(sender.transport(), CurlTransport)

    @pytest.mark.parametrize(
        ("former", "transport"),
        [
            ("messages_app.sender.curl.CurlTransport", CurlTransport),
            ("messages_app.sender.threads.RequestsTransport", RequestsTransport),
        ],
    )
    def test_a_name_of_before_still_chooses(
        self, settings: Settings, former: str, transport: type[Transport]
    ) -> None:
        settings.MESSAGE_SENDER_BACKEND = former
        assert isinstance(sender.transport(), transport)

    def test_the_settings_choose_another(self, settings: Settings) -> None:
        settings.MESSAGE_SENDER_BACKEND = f"{TRANSPORTS}.requests.RequestsTransport"
        settings.MESSAGE_SENDER_CONCURRENCY = 7
        transport = sender.transport()
        assert isinstance(transport, RequestsTransport)
        assert transport.capacity == 7

    @pytest.mark.parametrize("backend", [CurlTransport, RequestsTransport])
    def test_without_a_number_it_finds_out_how_many_requests_to_open(
        self, settings: Settings, sandbox: Sandbox, backend: type[Transport]
    ) -> None:
        settings.MESSAGE_SENDER_CONCURRENCY = None
        settings.MESSAGE_SENDER_MAX_CONCURRENCY = 20
        settings.MESSAGE_SENDER_BACKEND = f"{backend.__module__}.{backend.__name__}"
        settings.MESSAGE_SENDER_URL = sandbox.api_url
        transport = sender.transport()
        assert isinstance(transport, ThrottledTransport)
        assert transport.capacity == START
        sandbox.set_faults(latency=0.02)
        assert {answer.status for answer in send(transport, 200)} == {200}
        assert transport.capacity == 20

    def test_what_the_sender_refuses_is_marked_and_fewer_are_opened(
        self, settings: Settings, sandbox: Sandbox
    ) -> None:
        settings.MESSAGE_SENDER_CONCURRENCY = None
        settings.MESSAGE_SENDER_URL = sandbox.api_url
        sandbox.set_faults(max_open=4, latency=0.02)
        transport = sender.transport()
        refused = [answer for answer in send(transport, 100) if answer.status == 503]
        assert refused
        assert all(answer.is_excess for answer in refused)
        assert transport.capacity < START

    def test_the_settings_choose_how_long_it_waits(
        self, settings: Settings, script: Script
    ) -> None:
        settings.MESSAGE_SENDER_TIMEOUT = 1
        settings.MESSAGE_SENDER_URL = script(b"").url
        (answer,) = send(sender.transport())
        assert answer.failure is Failure.TIMEOUT
        assert 0.9 < answer.seconds < 5

    def test_a_process_keeps_its_transport(self) -> None:
        assert sender.transport() is sender.transport()

    def test_a_slash_at_the_end_of_the_address_makes_no_difference(
        self, settings: Settings, script: Script
    ) -> None:
        server = script(http())
        settings.MESSAGE_SENDER_URL = server.url + "/"
        send(sender.transport())
        assert server.requests[0][0].startswith("POST /v1/send/")

    def test_without_a_token_there_is_none_and_the_error_says_what_to_do(
        self, settings: Settings
    ) -> None:
        settings.MESSAGE_SENDER_TOKEN = ""
        with pytest.raises(ImproperlyConfigured, match=r"MESSAGE_SENDER_TOKEN.*make run"):
            sender.transport()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def secure(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox"), *certificate.options) as sandbox:
        yield sandbox


class TestAuthorities:
    """Who may vouch for the sender is the same for both transports."""

    def test_a_companys_own_are_trusted_where_they_are_named(
        self,
        backend: type[Transport],
        secure: Sandbox,
        certificate: Certificate,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        settings.MESSAGE_SENDER_CA_FILE = str(certificate.certfile)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
        assert classify(send_one(backend, secure.api_url)).is_success

    def test_nobody_else_is(self, backend: type[Transport], secure: Sandbox) -> None:
        answer = send_one(backend, secure.api_url)
        assert answer.failure is Failure.NOT_CONNECTED
        assert "certificate" in answer.detail.lower()

    def test_without_a_word_they_are_those_of_the_system(
        self, monkeypatch: pytest.MonkeyPatch, certificate: Certificate
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certfile))
        assert authorities() == str(certificate.certfile)
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
        monkeypatch.setattr(base, "SYSTEM_AUTHORITIES", ())
        assert Path(authorities()).read_text().count("BEGIN CERTIFICATE") > 50
