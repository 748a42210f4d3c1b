"""Calls to receivers over HTTP, several at once, none longer than TIMEOUT in all.

No redirect is followed, no proxy used, nothing of the answer kept but its status. Each connection
is made to the very address that was checked: libcurl asks before it opens a socket, after the name
was looked up, so a name that leads elsewhere a moment later (DNS rebinding) gains nothing.
"""

import socket
from collections.abc import Sequence
from functools import cache
from time import sleep
from typing import Any, NamedTuple

import pycurl

from messages_app.sender.transports.base import system_authorities
from webhooks.addresses import is_allowed

TIMEOUT = 15.0  # seconds for a call, from the look-up of the name to the end of the answer
CONNECT_TIMEOUT = 5.0  # seconds
MAX_BODY = 4096  # bytes of an answer that are read; it means nothing to us
WAIT = 1.0  # seconds that one look at the open calls may take
BREATH = 0.01  # seconds


class Call(NamedTuple):
    """What is posted to whom; `key` is the caller's own."""

    key: int
    url: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    """What came back: a status, or why there is none. `retry_after` and `seconds` in seconds."""

    key: int
    status: int | None
    error: str
    retry_after: int
    seconds: float


class Connections:
    """Calls to one receiver, whose connections are kept from one call to the next."""

    def __init__(self) -> None:
        self._multi = pycurl.CurlMulti()

    def post_all(self, calls: Sequence[Call]) -> list[Answer]:
        """Post all calls at once; return an answer for each, at the latest after TIMEOUT."""
        for call in calls:
            self._multi.add_handle(_OpenCall(call).handle)
        answers: list[Answer] = []
        while len(answers) < len(calls):
            self._multi.perform()
            answers += self._finished()
            if len(answers) < len(calls) and self._multi.select(WAIT) < 1:
                sleep(BREATH)  # There was nothing to wait for, such as while a name is looked up.
        return answers

    def close(self) -> None:
        """Close them."""
        self._multi.close()

    def _finished(self) -> list[Answer]:
        """Return the answers of calls that have ended."""
        answers = []
        remaining = 1
        while remaining:
            remaining, done, failed = self._multi.info_read()
            ended = [*((handle, "") for handle in done)]
            ended += [(handle, _in_words(code, text)) for handle, code, text in failed]
            for handle, error in ended:
                answers.append(handle.call.answer(error))
                self._multi.remove_handle(handle)
                handle.call.close()
        return answers


class _OpenCall:
    """A call under way."""

    def __init__(self, call: Call) -> None:
        self._key = call.key
        self._size = 0
        self._refused = ""
        self._sockets: list[socket.socket] = []
        self.handle = handle = pycurl.Curl()
        handle.call = self
        handle.setopt(pycurl.URL, call.url)
        handle.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        handle.setopt(pycurl.FOLLOWLOCATION, 0)
        handle.setopt(pycurl.PROXY, "")  # none, whatever the environment says
        handle.setopt(pycurl.NETRC, pycurl.NETRC_IGNORED)
        handle.setopt(pycurl.NOSIGNAL, 1)
        handle.setopt(pycurl.CAINFO, _authorities())
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, int(CONNECT_TIMEOUT * 1000))
        handle.setopt(pycurl.TIMEOUT_MS, int(TIMEOUT * 1000))
        handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        handle.setopt(pycurl.HTTPHEADER, [f"{name}: {text}" for name, text in call.headers.items()])
        handle.setopt(pycurl.POST, 1)
        handle.setopt(pycurl.POSTFIELDS, call.body)
        handle.setopt(pycurl.OPENSOCKETFUNCTION, self._open)
        handle.setopt(pycurl.WRITEFUNCTION, self._count)
        handle.setopt(pycurl.HEADERFUNCTION, self._count)

    def answer(self, error: str) -> Answer:
        """Return how it went. An answer whose status is known is one, however it ended."""
        ask = self.handle.getinfo
        status = ask(pycurl.RESPONSE_CODE) or None
        is_whole = not error or self._size > MAX_BODY
        wait, seconds = ask(pycurl.RETRY_AFTER), ask(pycurl.TOTAL_TIME)
        if status and is_whole:
            return Answer(self._key, status, "", wait, seconds)
        return Answer(self._key, None, self._refused or error, 0, seconds)

    def close(self) -> None:
        """Let go of the handle, and of our copies of its sockets."""
        self.handle.close()
        for each in self._sockets:
            each.close()

    def _open(self, purpose: int, address: Any) -> Any:
        """Open a socket to an address that libcurl has looked up, if it may be called."""
        family, kind, protocol, (host, *_) = address
        host = host.decode() if isinstance(host, bytes) else host
        if not is_allowed(host):
            self._refused = f"{host} is a private address (WEBHOOKS_ALLOW_PRIVATE)."
            return pycurl.SOCKET_BAD
        opened = socket.socket(family, kind, protocol)
        self._sockets.append(opened)  # pycurl has a copy of it; ours is closed at the end.
        return opened

    def _count(self, piece: bytes) -> int | None:
        """Take note of a piece of the answer; end it where it is too long."""
        self._size += len(piece)
        return None if self._size <= MAX_BODY else -1


@cache
def _authorities() -> str:
    return system_authorities()


def _in_words(code: int, text: str) -> str:
    """Return why there is no answer."""
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return f"There was no whole answer within {TIMEOUT:g} seconds."
    return text[:200]
