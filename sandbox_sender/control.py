"""The control pages of the sandbox: inbox, stats and faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

from sandbox_sender.accounts import Accounts
from sandbox_sender.answers import (
    NOT_FOUND,
    Answer,
    build,
    build_error,
    build_json,
    build_method_not_allowed,
)
from sandbox_sender.faults import FaultError, Faults, list_active, read_faults
from sandbox_sender.inbox import list_messages, render_inbox

# The inbox shows texts from outside, so nothing on the page may be executed or fetched.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Control:
    """Answers all requests except those to send a message."""

    def __init__(
        self, accounts: Accounts, faults: Faults, on_change: Callable[[Faults], None]
    ) -> None:
        """Call `on_change` with new faults before they are set; it may raise FaultError."""
        self.accounts = accounts
        self.faults = faults
        self.on_change = on_change

    def answer(self, method: bytes, path: bytes, body: bytes) -> Answer:
        """Return the answer of the page at a path; 404 or 405 if there is none."""
        pages = PAGES.get(path)
        if pages is None:
            return NOT_FOUND
        page = pages.get(method)
        if page is None:
            return build_method_not_allowed(", ".join(name.decode() for name in pages))
        return page(self, body)

    def show_inbox(self, _: bytes) -> Answer:
        """GET /: the latest messages, for people."""
        page = render_inbox(self.accounts, self.faults)
        return build(200, page, "text/html; charset=utf-8", PAGE_HEADERS)

    def show_inbox_json(self, _: bytes) -> Answer:
        """GET /inbox.json: the same, for programs."""
        return build_json(
            200,
            {
                "messages": list_messages(self.accounts),
                "stats": self.accounts.summarize(),
                "active_faults": list_active(self.faults),
            },
        )

    def show_stats(self, _: bytes) -> Answer:
        """GET /stats: the counts."""
        return build_json(200, self.accounts.summarize())

    def show_faults(self, _: bytes) -> Answer:
        """GET /faults: every setting."""
        return build_json(200, asdict(self.faults))

    def replace_faults(self, body: bytes) -> Answer:
        """PUT /faults: exactly these, all others back to none."""
        return self.change_faults(body, Faults())

    def update_faults(self, body: bytes) -> Answer:
        """PATCH /faults: these, the others as they are."""
        return self.change_faults(body, self.faults)

    def change_faults(self, body: bytes, base: Faults) -> Answer:
        """Set the faults that a JSON body describes, laid over `base`; 400 if they are invalid."""
        try:
            faults = read_faults(json.loads(body), base)
            self.on_change(faults)
        except FaultError as error:
            return build_error(400, str(error))
        except (ValueError, RecursionError):
            return build_error(400, 'The body must be JSON, for example {"latency": 0.05}.')
        self.faults = faults
        # The connection is closed, because an outage cuts all connections that stay open.
        return build_json(200, asdict(faults)).closing()


Page = Callable[[Control, bytes], Answer]
PAGES: dict[bytes, dict[bytes, Page]] = {
    b"/": {b"GET": Control.show_inbox},
    b"/inbox.json": {b"GET": Control.show_inbox_json},
    b"/stats": {b"GET": Control.show_stats},
    b"/faults": {
        b"GET": Control.show_faults,
        b"PUT": Control.replace_faults,
        b"PATCH": Control.update_faults,
    },
}
