"""A sender that answers what and when the test says, and a database that goes away."""

from collections.abc import Callable, Sequence
from select import select
from typing import Any

import psycopg
from django.db import connection, transaction

from messages_app.sender import Answer, Request

ACCEPTED: dict[str, Any] = {"status": 200, "body": b'{"code": 0, "message": "OK"}'}


class ScriptedTransport:
    """A transport whose `poll` is the test's: there time passes, and things happen."""

    def __init__(self, concurrency: int, script: "Script") -> None:
        self.concurrency = concurrency
        self.script = script
        self.open: list[Request] = []
        self.sent: list[Request] = []
        self.polls = 0

    @property
    def capacity(self) -> int:
        return self.concurrency - len(self.open)

    @property
    def is_idle(self) -> bool:
        return not self.open

    def submit(self, request: Request) -> None:
        assert self.capacity
        self.open.append(request)
        self.sent.append(request)

    def poll(self, timeout: float) -> Sequence[Answer]:
        self.polls += 1
        return self.script(self)

    def answer(self, number: int = 1000, **fields: Any) -> list[Answer]:
        """Answer the requests that were opened first; accept them unless told otherwise."""
        answered, self.open = self.open[:number], self.open[number:]
        return [Answer(request.id, **(fields or ACCEPTED)) for request in answered]


Script = Callable[[ScriptedTransport], Sequence[Answer]]
Scripted = Callable[[int, Script], ScriptedTransport]


def idle_in_transaction() -> None:
    """Have Postgres end this test's session in the middle of a transaction, as a stopped one's."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 1")
        assert select([connection.connection.fileno()], [], [], 10)[0]  # Postgres has said it.
        cursor.execute("SELECT 1")


def terminate_backend() -> None:
    """Have Postgres drop this test's connection, as a crash does."""
    info = connection.connection.info
    with psycopg.connect(
        host=info.host, port=info.port, dbname=info.dbname, user=info.user, autocommit=True
    ) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [info.backend_pid])
