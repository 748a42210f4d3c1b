"""How long a program waits for Postgres: for a link, a statement, a lock.

Without limits a program reads for a quarter of an hour from a link that swallows every packet, and
the transaction that it left open over there holds its locks as long. What DATABASE_URL says counts
more than anything here.
"""

from dataclasses import dataclass
from typing import Any

from django.db import connections

# For libpq. A link on which nothing is acknowledged any more is given up after ten seconds.
LINK: dict[str, object] = {
    "connect_timeout": 5,  # seconds
    "tcp_user_timeout": 10_000,  # milliseconds
    "keepalives": 1,
    "keepalives_idle": 5,  # seconds
    "keepalives_interval": 2,  # seconds
    "keepalives_count": 3,
}
# For the server, which otherwise keeps the connections that were given up for two hours.
SERVER_LINK = {
    "tcp_keepalives_idle": "30s",
    "tcp_keepalives_interval": "5s",
    "tcp_keepalives_count": "3",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """After how many seconds Postgres ends what a program asked of it."""

    statement: int
    lock: int
    idle_in_transaction: int


BEAT = Limits(statement=15, lock=15, idle_in_transaction=15)
# A worker's statements are made for seconds; the longest counts the messages of a whole mailing.
# Longer ones must end before the watchdog takes the worker for dead.
WORKER = Limits(statement=120, lock=30, idle_in_transaction=30)


def web(statement: int) -> Limits:
    """Return the limits of the web server, of which a statement's is a setting.

    Nobody waits for a page any longer, and what it waits for keeps a thread from others. An export
    reads by a cursor, of which each piece is a statement.
    """
    return Limits(statement=statement, lock=min(10, statement), idle_in_transaction=15)


def limit_statements(limits: Limits) -> None:
    """Have Postgres keep to the limits in all connections that this program opens from now on.

    Programs that call for no limits, such as migrate, have none.
    """
    add_limits(connections["default"].settings_dict, limits)


def add_limits(database: dict[str, Any], limits: Limits) -> None:
    """Add the limits to the settings of a database.

    Not behind PgBouncer, which refuses to start a connection with options, and lends connections to
    programs with other limits. Server-side cursors are disabled where there is one
    (docs/scaling.md).
    """
    is_pooled = database.get("DISABLE_SERVER_SIDE_CURSORS")
    if is_pooled or not database["ENGINE"].endswith("postgresql"):
        return
    values = SERVER_LINK | {
        "statement_timeout": f"{limits.statement}s",
        "lock_timeout": f"{limits.lock}s",
        "idle_in_transaction_session_timeout": f"{limits.idle_in_transaction}s",
    }
    ours = " ".join(f"-c {name}={value}" for name, value in values.items())
    # Of two values of one name, Postgres takes the last.
    database["OPTIONS"]["options"] = f"{ours} {database['OPTIONS'].get('options', '')}".strip()
