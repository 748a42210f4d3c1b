"""The slower transport: the requests library on threads, for machines without libcurl."""

import socket
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from threading import Lock, local
from time import perf_counter
from typing import Any, ClassVar

import requests
from django.utils import timezone
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.exceptions import SSLError
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from messages_app.sender.answers import Answer, Failure
from messages_app.sender.contract import CONTENT_TYPE, Request, authorization, headers
from messages_app.sender.transports.base import (
    CONNECT_TIMEOUT,
    MAX_BODY,
    authorities,
    is_loopback,
)

CUT_DELAY = 0.05  # seconds in which a request that was cut off should end
MAX_DIGITS = 9  # of a Retry-After; int() refuses more than 4300 digits


class RequestsTransport:
    """Many requests at once, one thread each."""

    def __init__(
        self, *, url: str, token: str, concurrency: int, timeout: float, may_repeat: bool
    ) -> None:
        """Prepare `concurrency` threads for the API at `url`. No request is ever repeated."""
        self._url = url
        self._ca_file = authorities()
        self._timeout = timeout
        self._concurrency = concurrency
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="sender")
        self._open: dict[Future[Answer], _Exchange] = {}
        self._session = requests.Session()
        self._session.trust_env = not is_loopback(url)  # which is where a proxy would come from
        self._session.headers["Content-Type"] = CONTENT_TYPE
        self._session.auth = _Bearer(token)
        adapter = _Adapter(pool_connections=1, pool_maxsize=concurrency)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    @property
    def capacity(self) -> int:
        """How many requests may be submitted now."""
        return self._concurrency - len(self._open)

    @property
    def is_idle(self) -> bool:
        """Whether no request is open."""
        return not self._open

    def submit(self, request: Request) -> None:
        """Begin a request. The caller makes sure that `capacity` is not 0."""
        exchange = _Exchange(request, deadline=perf_counter() + self._timeout)
        self._open[self._pool.submit(self._timed, exchange)] = exchange

    def poll(self, timeout: float) -> Sequence[Answer]:
        """Return the answers that have come, waiting up to `timeout` seconds for one.

        Requests whose time is over are cut off: `requests` itself limits only how long each piece
        of an answer may take, so that one that trickles in would never end.
        """
        first_deadline = min((each.deadline for each in self._open.values()), default=0.0)
        patience = max(0.0, min(timeout, first_deadline - perf_counter()))
        done, _ = wait(self._open, patience, FIRST_COMPLETED)
        if not done and self._open:
            for exchange in self._open.values():
                exchange.cut_if_overdue()
            done, _ = wait(self._open, min(timeout, CUT_DELAY), FIRST_COMPLETED)
        for future in done:
            del self._open[future]
        return [future.result() for future in done]

    def _timed(self, exchange: "_Exchange") -> Answer:
        began_at = perf_counter()
        _thread.exchange = exchange
        try:
            answer = self._post(exchange.request)
        finally:
            exchange.read_from(None)
        if exchange.was_cut:
            detail = f"It was not complete after {self._timeout:g} seconds."
            answer = Answer(exchange.request.id, failure=Failure.TIMEOUT, detail=detail)
        return answer._replace(seconds=perf_counter() - began_at)

    def _post(self, request: Request) -> Answer:
        try:
            with self._session.post(
                self._url + request.path,
                data=request.body.encode(),
                headers=headers(request),
                verify=self._ca_file,  # said here, it comes before what the environment says
                timeout=(CONNECT_TIMEOUT, self._timeout),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = _read(response)
        except requests.ReadTimeout as error:
            return Answer(request.id, failure=Failure.TIMEOUT, detail=str(error))
        except requests.RequestException as error:
            failure = Failure.NOT_CONNECTED if _never_connected(error) else Failure.BROKEN
            return Answer(request.id, failure=failure, detail=str(error))
        wait_for = _seconds(response.headers.get("Retry-After", ""))
        return Answer(
            request.id,
            status=response.status_code,
            body=body,
            retry_after=wait_for,
            latency=response.elapsed.total_seconds(),
        )


class _Exchange:
    """A request under way in a thread, and the socket that its answer comes from.

    `deadline` is in seconds of `perf_counter`.
    """

    def __init__(self, request: Request, *, deadline: float) -> None:
        self.request = request
        self.deadline = deadline
        self.was_cut = False
        self._socket: socket.socket | None = None
        self._lock = Lock()

    def read_from(self, source: socket.socket | None) -> None:
        """Note from where the answer is read; None when it is read no more."""
        with self._lock:
            self._socket = source

    def cut_if_overdue(self) -> None:
        """Shut the connection down once the time is over; whoever reads from it hears the end."""
        if perf_counter() < self.deadline:
            return
        with self._lock:
            if self._socket:
                self.was_cut = True
                with suppress(OSError):  # The sender was quicker.
                    # Not the method of a TLS socket, which another thread is reading from.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


_thread = local()  # `exchange`: what this thread is at


class _Connection(HTTPConnection):
    """Tells the exchange of its thread from where the answer is read."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3 itself
        """Wait for the answer, up to its body."""
        _thread.exchange.read_from(self.sock)
        return super().getresponse()


class _TLSConnection(HTTPSConnection):
    """The same over TLS."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3 itself
        """Wait for the answer, up to its body."""
        _thread.exchange.read_from(self.sock)
        return super().getresponse()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    """Connects by connections that can be cut off, through a proxy too."""

    POOLS: ClassVar = {"http": _Pool, "https": _TLSPool}

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self.POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pools of connections through a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self.POOLS
        return manager


class _Bearer(AuthBase):
    """Adds the token. As a plain header it would be replaced by what a .netrc file says."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = authorization(self._token)
        return request


def _read(response: requests.Response) -> bytes:
    """Return the body of an answer.

    Raises:
        requests.RequestException: it is longer than MAX_BODY.
    """
    body = b""
    for chunk in response.iter_content(MAX_BODY):
        body += chunk
        if len(body) > MAX_BODY:
            raise requests.RequestException(f"The answer is longer than {MAX_BODY} bytes.")
    return body


def _never_connected(error: requests.RequestException) -> bool:
    """Tell whether the request failed before a byte of it could be sent."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, requests.ConnectTimeout | SSLError) or isinstance(
        reason, NewConnectionError
    )


def _seconds(retry_after: str) -> int:
    """Return the seconds that a Retry-After header names in either form (RFC 9110, 10.2.3)."""
    if retry_after.isdecimal():
        return int(retry_after[:MAX_DIGITS])
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0
    if timezone.is_naive(moment):  # The offset is -0000, which means UTC (RFC 5322, 3.3).
        moment = moment.replace(tzinfo=UTC)
    return max(0, int((moment - timezone.now()).total_seconds()))
