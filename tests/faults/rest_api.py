"""The REST API as a program uses it: over HTTP, with a token."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from tests.installation import HOUR

TIMEOUT = 120  # seconds; longer than any answer may take, so that the wait is measured
TRIES_SECONDS = 60


class RestApi:
    """A client of the web server that remembers how long each POST of a mailing took."""

    def __init__(self, port: int, token: str) -> None:
        self.seconds: list[float] = []
        self.port = port  # may be changed: another web server is asked from then on
        self._token = token
        self._session = requests.Session()
        self._session.trust_env = False  # The environment's proxy is not for our own ports.
        self._session.headers["Authorization"] = f"Token {token}"

    def another(self) -> "RestApi":
        """Return a client for another thread."""
        return RestApi(self.port, self._token)

    def request(self, method: str, path: str, **fields: object) -> requests.Response:
        """Send a request, with a JSON body if there are fields; return the answer."""
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}"
        return self._session.request(method, address, json=fields or None, timeout=TIMEOUT)

    def call(self, method: str, path: str, **fields: object) -> Any:
        """Send a request that must succeed; return what it answers. Any: it is JSON."""
        answer = self.request(method, path, **fields)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def create_mailing(
        self, *, start: timedelta = -HOUR, stop: timedelta = HOUR, **fields: object
    ) -> int:
        """Create a mailing that starts and stops so long from now; return its id."""
        now = datetime.now(UTC)
        times = {"start_time": (now + start).isoformat(), "stop_time": (now + stop).isoformat()}
        began_at = time.monotonic()
        body = {"text": "Привет 👋", "filters": {}, **times, **fields}
        answer = self.request("POST", "mailings/", **body)
        self.seconds.append(time.monotonic() - began_at)
        assert answer.status_code == 201, f"{answer.status_code} {answer.text[:500]}"
        mailing: int = answer.json()["id"]
        return mailing

    def try_to_create_mailing(self, **fields: object) -> None:
        """Create a mailing in spite of what is being done to the system.

        After an answer that never came it may exist or not; whoever counts asks the database.
        """
        deadline = time.monotonic() + TRIES_SECONDS
        while True:
            try:
                self.create_mailing(**fields)  # type: ignore[arg-type]  # passed on as they are
            except (AssertionError, requests.ConnectionError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def edit(self, mailing: int, **fields: object) -> None:
        """Change a mailing; it must succeed."""
        self.call("PATCH", f"mailings/{mailing}/", **fields)

    def command(self, mailing: int, verb: str) -> None:
        """Pause, resume or cancel a mailing; it must succeed."""
        self.call("POST", f"mailings/{mailing}/{verb}/")

    def slowest(self) -> dict[str, float]:
        """Return what to report of the POSTs of mailings, in seconds."""
        ordered = sorted(self.seconds)
        return {
            "POSTs": len(ordered),
            "POST p95, s": round(ordered[int(0.95 * (len(ordered) - 1))], 3),
            "POST slowest, s": round(ordered[-1], 3),
        }
