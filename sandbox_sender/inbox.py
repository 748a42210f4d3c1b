"""The inbox page of the sandbox: the latest messages, totals and faults."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from html import escape
from pathlib import Path
from string import Template

from sandbox_sender.accounts import Accounts, Delivery
from sandbox_sender.faults import Faults, list_active

TOTALS = ("accepted", "unique", "repeated", "rejected", "in_flight")
ROW = Template(
    '<tr><td><time datetime="$moment">$clock</time></td><td class="number">$id</td>'
    '<td class="number">$phone</td><td class="text">$text</td></tr>'
)
NO_MESSAGES = '<tr><td colspan="4" class="empty">No messages yet.</td></tr>'


@cache
def load_page() -> Template:
    """Return the page around the messages."""
    return Template(Path(__file__).with_name("inbox.html").read_text(encoding="utf-8"))


def list_messages(accounts: Accounts) -> list[dict[str, object]]:
    """Return the latest messages, newest first; `at` is unix time."""
    return [delivery._asdict() for delivery in reversed(accounts.recent)]


def render_inbox(accounts: Accounts, faults: Faults) -> bytes:
    """Return the page as HTML in UTF-8."""
    rows = [render_row(delivery) for delivery in reversed(accounts.recent)]
    page = load_page().substitute(
        state="out" if faults.outage else "up",
        state_text="Outage" if faults.outage else "Running",
        totals=render_totals(accounts.summarize()),
        faults=render_faults(list_active(faults)),
        rows="\n".join(rows) or NO_MESSAGES,
        count=len(rows),
    )
    # JSON can carry half a surrogate pair, UTF-8 cannot.
    return page.encode("utf-8", errors="replace")


def render_row(delivery: Delivery) -> str:
    """Return the table row of one message."""
    moment = datetime.fromtimestamp(delivery.at).astimezone()
    return ROW.substitute(
        moment=moment.isoformat(),
        clock=f"{moment:%H:%M:%S}",
        id=delivery.id,
        phone=delivery.phone,
        text=escape(delivery.text),
    )


def render_totals(stats: dict[str, object]) -> str:
    """Return the counts as list items."""
    return "\n".join(
        f"<div><dt>{name.replace('_', ' ')}</dt><dd>{stats[name]:,}</dd></div>" for name in TOTALS
    )


def render_faults(active: dict[str, object]) -> str:
    """Return the faults that are set as tags."""
    if not active:
        return '<span class="calm">No faults: every correct request is accepted at once.</span>'
    return " ".join(
        f"<code>{escape(name)} = {escape(str(value))}</code>" for name, value in active.items()
    )
