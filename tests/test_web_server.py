"""The web server as it is started by hand, and clients that are slow, long-winded or malformed."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from select import select
from time import monotonic, sleep
from typing import Any

import pytest

from mailing_manager_project.environment import BASE_DIR
from mailing_manager_project.launcher import programs
from mailing_manager_project.web_worker import TIME_FOR_HEADERS
from tests.log import Event, read
from tests.main_program import PATIENCE, clean_environment, manage
from tests.servers import free_port, wait_for_port
from toolkit.tests.test_publishing import wait_until

pytestmark = pytest.mark.flow
SECRET = {"SECRET_KEY": "only-for-tests"}


class WebServer:
    """A gunicorn that was started as the README says."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._log = folder / f"web-{self.port}.log"  # Several share the folder.
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn", "--no-control-socket"),
                    *(f"--bind=127.0.0.1:{self.port}", *options, "mailing_manager_project.wsgi"),
                ],
                cwd=BASE_DIR,
                env=clean_environment(folder, **SECRET, LOG_FORMAT="json"),
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        wait_for_port(self.port, PATIENCE)

    @property
    def log(self) -> list[Event]:
        """Return what it wrote of requests."""
        return [event for event in read(self._log) if event["logger"] != "gunicorn.error"]

    def ask(self, path: str, method: str = "GET", host: str = "localhost") -> tuple[Any, bytes]:
        """Ask for something; return the answer and its body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, headers={"Host": host})
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def seconds_of_health(self) -> float:
        """Return how long it takes to say that all is well."""
        began_at = monotonic()
        answer, _ = self.ask("/health/")
        assert answer.status == 200
        return monotonic() - began_at

    def dial(self) -> socket.socket:
        """Open a connection by hand."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def say(self, words: bytes) -> tuple[HTTPResponse, Any]:
        """Send these bytes; return the answer and what its JSON says."""
        with self.dial() as line:
            line.sendall(words)
            answer = HTTPResponse(line)
            answer.begin()
            return answer, json.loads(answer.read())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an installation with an empty database."""
    folder = tmp_path_factory.mktemp("installation")
    os.chmod(folder, 0o700)
    (folder / "secret_key").write_text("only-for-tests")
    manage(folder, "migrate", "-v", "0")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[WebServer]:
    """Run the web server with what gunicorn finds by itself."""
    yield from running(folder)


@pytest.fixture
def small_server(folder: Path) -> Iterator[WebServer]:
    """Run one with three threads, of which one is for everybody."""
    yield from running(folder, "--workers=1", "--threads=3")


def running(folder: Path, *options: str) -> Iterator[WebServer]:
    server = WebServer(folder, *options)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait(PATIENCE)


def test_twelve_slow_clients_do_not_switch_it_off(server: WebServer) -> None:
    server.seconds_of_health()  # the first one loads what it needs
    with ExitStack() as lines:
        slow = [lines.enter_context(server.dial()) for _ in range(12)]
        for byte in b"GET /":
            for line in slow:
                line.sendall(bytes([byte]))
            assert server.seconds_of_health() < 2


def test_who_never_ends_asking_is_hung_up_on(small_server: WebServer) -> None:
    with small_server.dial() as line:
        line.sendall(b"GET /health/ HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        began_at = monotonic()
        with suppress(ConnectionError):
            line.settimeout(0.2)
            while monotonic() - began_at < PATIENCE:
                line.sendall(b"a")
                with suppress(TimeoutError):
                    assert line.recv(1) == b""
                    break
        assert TIME_FOR_HEADERS - 1 < monotonic() - began_at < TIME_FOR_HEADERS + 10
    assert small_server.seconds_of_health() < 5


def test_a_slow_body_takes_no_thread_from_the_health_check(small_server: WebServer) -> None:
    page, _ = small_server.ask("/admin/login/")
    head = [
        *("POST /admin/login/ HTTP/1.1", "Host: localhost", "Content-Length: 1000"),
        # Without it the form would be refused unread.
        f"Cookie: {page.headers['Set-Cookie'].partition(';')[0]}",
        *("Content-Type: application/x-www-form-urlencoded", "", "name="),
    ]
    with occupy(small_server, "\r\n".join(head).encode()):
        answer = wait_for_refusal(small_server)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert small_server.seconds_of_health() < 2
    wait_for_service(small_server)


def occupy(server: WebServer, beginning: bytes) -> socket.socket:
    """Send the beginning of a request until it keeps a thread; return its connection.

    It is refused at once where the only thread is not done with the one before.
    """
    deadline = monotonic() + PATIENCE
    while monotonic() < deadline:
        line = server.dial()
        line.sendall(beginning)
        if not select([line], [], [], 0.5)[0]:
            return line
        line.close()
    raise AssertionError("It was always answered.")


def wait_for_refusal(server: WebServer) -> Any:
    deadline = monotonic() + PATIENCE
    while (answer := server.ask("/admin/login/")[0]).status != 503:
        assert monotonic() < deadline
        sleep(0.05)
    return answer


def wait_for_service(server: WebServer) -> None:
    deadline = monotonic() + PATIENCE
    while server.ask("/admin/login/")[0].status != 200:
        assert monotonic() < deadline
        sleep(0.05)


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (b"GET /api/v1/clients/?search=" + b"a" * 5000, 414, "uri_too_long"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9000, 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nno header\r\n\r\n", 400, "malformed_request"),
        (b"\x16\x03\x01 hello\r\n\r\n", 400, "malformed_request"),
    ],
)
def test_what_is_no_request_is_refused_in_the_format_of_the_api(
    server: WebServer, words: bytes, status: int, code: str
) -> None:
    answer, error = server.say(words + b" HTTP/1.1\r\n\r\n")
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    assert [each["code"] for each in error["errors"]] == [code]
    line = (answer.headers["X-Request-Id"], status)
    wait_until(
        lambda: line in [(each.get("request_id"), each.get("status")) for each in server.log]
    )


def test_each_request_is_a_line_of_the_log_and_a_wrong_host_says_why(server: WebServer) -> None:
    before = len(server.log)
    answer, body = server.ask("/api/v1/schema/", "HEAD")
    assert (answer.status, body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 1000
    assert server.ask("/api/v1/clients/", host="elsewhere.example")[0].status == 400

    wait_until(lambda: len(server.log) == before + 3)
    head, wrong_host, refused = server.log[before:]
    assert (head["event"], head["level"]) == ("HEAD /api/v1/schema/", "info")
    assert "elsewhere.example" in wrong_host["event"]
    assert (refused["status"], refused["request_id"]) == (400, wrong_host["request_id"])


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        *((host, True) for host in ("127.0.0.1", "::1", "localhost")),
        *((host, False) for host in ("0.0.0.0", "::", "192.0.2.1", "mailing.example.com")),
    ],
)
def test_main_tells_who_else_can_reach_it(host: str, is_local: bool) -> None:
    assert programs.is_local(host) == is_local
