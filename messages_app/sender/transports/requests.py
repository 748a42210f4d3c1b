"""The slower transport: the requests library on threads, for machines without libcurl."""

from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC
from email.utils import parsedate_to_datetime
from time import perf_counter

import requests
from django.utils import timezone
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.exceptions import SSLError
from urllib3.exceptions import NewConnectionError

from messages_app.sender.answers import Answer, Failure
from messages_app.sender.contract import CONTENT_TYPE, Request, authorization
from messages_app.sender.transports.base import CONNECT_TIMEOUT, MAX_BODY, is_loopback

MAX_DIGITS = 9  # of a Retry-After; int() refuses more than 4300 digits


class RequestsTransport:
    """Many requests at once, one thread each."""

    def __init__(
        self, *, url: str, token: str, concurrency: int, timeout: float, may_repeat: bool
    ) -> None:
        """Prepare `concurrency` threads for the API at `url`. No request is ever repeated."""
        self._url = url
        self._timeout = timeout
        self._concurrency = concurrency
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="sender")
        self._open: set[Future[Answer]] = set()
        self._session = requests.Session()
        self._session.trust_env = not is_loopback(url)  # which is where a proxy would come from
        self._session.headers["Content-Type"] = CONTENT_TYPE
        self._session.auth = _Bearer(token)
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=concurrency)
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
        self._open.add(self._pool.submit(self._timed, request))

    def poll(self, timeout: float) -> Sequence[Answer]:
        """Return the answers that have come, waiting up to `timeout` seconds for one."""
        done, self._open = wait(self._open, timeout, FIRST_COMPLETED)
        return [future.result() for future in done]

    def _timed(self, request: Request) -> Answer:
        began_at = perf_counter()
        return self._post(request)._replace(seconds=perf_counter() - began_at)

    def _post(self, request: Request) -> Answer:
        try:
            with self._session.post(
                self._url + request.path,
                data=request.body.encode(),
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
        return Answer(request.id, status=response.status_code, body=body, retry_after=wait_for)


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
