"""The default transport: libcurl's multi interface, one event loop, connections kept alive.

A request takes about 30 µs of CPU, with the requests library 400 µs and more. The speed of the
product depends on it (docs/adr/0003-libcurl.md).
"""

from collections.abc import Sequence
from io import BytesIO

import pycurl

from messages_app.sender.answers import Answer, Failure
from messages_app.sender.contract import CONTENT_TYPE, Request, authorization, headers
from messages_app.sender.transports.base import (
    CONNECT_TIMEOUT,
    MAX_BODY,
    authorities,
    is_loopback,
)

# Seconds that an unused connection is kept. Servers keep theirs longer, so it is not cut by them.
MAX_IDLE = 4

FAILURES = {
    pycurl.E_COULDNT_RESOLVE_PROXY: Failure.NOT_CONNECTED,
    pycurl.E_COULDNT_RESOLVE_HOST: Failure.NOT_CONNECTED,
    pycurl.E_COULDNT_CONNECT: Failure.NOT_CONNECTED,
    pycurl.E_SSL_CONNECT_ERROR: Failure.NOT_CONNECTED,
    pycurl.E_PEER_FAILED_VERIFICATION: Failure.NOT_CONNECTED,
    pycurl.E_SSL_CACERT_BADFILE: Failure.NOT_CONNECTED,
    pycurl.E_OPERATION_TIMEDOUT: Failure.TIMEOUT,
}


class _Exchange:
    """A reusable handle with the request it carries and the body that comes back."""

    def __init__(
        self,
        usual_headers: Sequence[str],
        timeout: float,
        may_repeat: bool,
        no_proxy: bool,
        ca_file: str,
    ) -> None:
        self.id = 0
        self.request_id = ""
        self.is_repeated = False
        self._headers = usual_headers
        self.body = BytesIO()
        self.chunks: list[bytes] = []
        self.handle = handle = pycurl.Curl()
        handle.exchange = self
        handle.setopt(pycurl.HTTPHEADER, usual_headers)
        handle.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        handle.setopt(pycurl.POST, 1)
        handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        handle.setopt(pycurl.NOSIGNAL, 1)
        if no_proxy:
            handle.setopt(pycurl.NOPROXY, "*")
        handle.setopt(pycurl.TCP_NODELAY, 1)
        handle.setopt(pycurl.CAINFO, ca_file)
        handle.setopt(pycurl.CONNECTTIMEOUT, CONNECT_TIMEOUT)
        handle.setopt(pycurl.TIMEOUT_MS, int(timeout * 1000))
        handle.setopt(pycurl.MAXFILESIZE, MAX_BODY)
        handle.setopt(pycurl.WRITEFUNCTION, self.chunks.append)
        handle.setopt(pycurl.MAXAGE_CONN, MAX_IDLE)
        # libcurl posts a second time by itself when a connection that it had kept is cut before
        # the answer; but not a body that it cannot rewind.
        if may_repeat:
            handle.setopt(pycurl.SEEKFUNCTION, self._rewind)

    def begin(self, url: str, request: Request) -> pycurl.Curl:
        self.id = request.id
        if request.request_id != self.request_id:
            self.request_id = request.request_id
            own = (f"{name}: {value}" for name, value in headers(request).items())
            self.handle.setopt(pycurl.HTTPHEADER, [*self._headers, *own])
        self.chunks.clear()
        self.handle.setopt(pycurl.URL, f"{url}{request.path}")
        self.is_repeated = False
        body = request.body.encode()
        self.body = BytesIO(body)
        self.handle.setopt(pycurl.READFUNCTION, self.body.read)
        self.handle.setopt(pycurl.POSTFIELDSIZE, len(body))
        return self.handle

    def answer(self) -> Answer:
        ask = self.handle.getinfo
        status = ask(pycurl.RESPONSE_CODE)
        # Only a refusal can have a Retry-After.
        wait = 0 if status == 200 else ask(pycurl.RETRY_AFTER)
        body, seconds = b"".join(self.chunks), ask(pycurl.TOTAL_TIME)
        # Without connecting, and without our own delay in reading the rest.
        latency = ask(pycurl.STARTTRANSFER_TIME) - ask(pycurl.PRETRANSFER_TIME)
        return Answer(
            self.id, status, body, seconds, wait, is_repeated=self.is_repeated, latency=latency
        )

    def failure(self, code: int, detail: str) -> Answer:
        failure = FAILURES.get(code, Failure.BROKEN)
        # A timeout before the first byte of the request went out means that nothing was sent.
        if failure is Failure.TIMEOUT and not self.handle.getinfo(pycurl.REQUEST_SIZE):
            failure = Failure.NOT_CONNECTED
        seconds = self.handle.getinfo(pycurl.TOTAL_TIME)
        return Answer(
            self.id,
            failure=failure,
            detail=detail,
            seconds=seconds,
            is_repeated=self.is_repeated,
        )

    def _rewind(self, offset: int, origin: int) -> int:
        self.is_repeated = True
        self.body.seek(offset, origin)
        return int(pycurl.SEEKFUNC_OK)


class CurlTransport:
    """Many requests at once over libcurl."""

    def __init__(
        self, *, url: str, token: str, concurrency: int, timeout: float, may_repeat: bool
    ) -> None:
        """Prepare for `concurrency` requests to the API at `url`; handles are made as needed."""
        self._headers = [
            f"Authorization: {authorization(token)}",
            f"Content-Type: {CONTENT_TYPE}",
            "Expect:",  # No round trip to ask whether the body is welcome.
        ]
        self._url = url
        self._ca_file = authorities()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, concurrency)
        self._multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, concurrency)
        self._concurrency = concurrency
        self._timeout = timeout
        self._may_repeat = may_repeat
        self._open = 0
        self._idle: list[_Exchange] = []

    @property
    def capacity(self) -> int:
        """How many requests may be submitted now."""
        return self._concurrency - self._open

    @property
    def is_idle(self) -> bool:
        """Whether no request is open."""
        return not self._open

    def submit(self, request: Request) -> None:
        """Begin a request. The caller makes sure that `capacity` is not 0."""
        exchange = self._idle.pop() if self._idle else self._new_exchange()
        self._multi.add_handle(exchange.begin(self._url, request))
        self._open += 1

    def poll(self, timeout: float) -> Sequence[Answer]:
        """Return the answers that have come, waiting up to `timeout` seconds for one."""
        self._multi.perform()
        answers = self._finished()
        if not answers and not self.is_idle:
            self._multi.select(timeout)
            self._multi.perform()
            answers = self._finished()
        return answers

    def _new_exchange(self) -> _Exchange:
        return _Exchange(
            self._headers,
            self._timeout,
            self._may_repeat,
            no_proxy=is_loopback(self._url),
            ca_file=self._ca_file,
        )

    def _finished(self) -> list[Answer]:
        answers = []
        remaining = 1
        while remaining:
            remaining, done, failed = self._multi.info_read()
            for handle in done:
                answers.append(handle.exchange.answer())
                self._release(handle)
            for handle, code, detail in failed:
                answers.append(handle.exchange.failure(code, detail))
                self._release(handle)
        return answers

    def _release(self, handle: pycurl.Curl) -> None:
        self._multi.remove_handle(handle)
        self._open -= 1
        self._idle.append(handle.exchange)
