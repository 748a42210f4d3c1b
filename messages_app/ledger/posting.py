"""Posting: writes into the ledger which messages went from which account to which."""

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from django.db.models import QuerySet

from messages_app.ledger.accounts import NOWHERE, account
from messages_app.models import Message, Posting
from messages_app.sql import Statement, run, table_of

ACCOUNT_COLUMNS = (
    "status",
    "error_code",
    "next_attempt_at",
    "text_version",
    "attempts",
    "timezone",
)


Transfer = tuple[int, str, str]  # mailing's id, account before, account after


class Move(NamedTuple):
    """A message that goes from one account to another; "" where it does not exist."""

    message_id: int
    before: str
    after: str


def post(mailing_id: int, moves: Iterable[Move]) -> None:
    """Post moves of one mailing's messages, one posting for each pair of accounts.

    Call it in the transaction that changes the messages, and after they are locked or written:
    the postings of one message then stand in the order of its changes.
    """
    post_by_mailing((mailing_id, move) for move in moves)


def post_moved(moved: Mapping[Transfer, Sequence[int]]) -> None:
    """Post {transfer: ids of messages}, as `post` does."""
    rows = [
        (mailing_id, before, after, len(ids), packed(ids))
        for (mailing_id, before, after), ids in moved.items()
        if before != after
    ]
    if rows:
        values = ", ".join(["(%s, %s, %s, %s, %s)"] * len(rows))
        run(
            Statement(
                f"INSERT INTO {table_of(Posting)} (mailing_id, before, after, number, message_ids)"
                f" VALUES {values}",
                [value for row in rows for value in row],
            )
        )


def post_by_mailing(moves: Iterable[tuple[int, Move]]) -> None:
    """Post moves of several mailings' messages, each with its mailing's id."""
    moved: dict[Transfer, list[int]] = defaultdict(list)
    for mailing_id, (message_id, before, after) in moves:
        moved[mailing_id, before, after].append(message_id)
    post_moved(moved)


def account_of(message: Message) -> str:
    """Return the account of a message as its columns stand."""
    return account_from(*(getattr(message, name) for name in ACCOUNT_COLUMNS))


def account_from(
    status: str,
    error_code: str,
    next_attempt_at: object,
    text_version: int | None,
    attempts: int,
    timezone: str,
) -> str:
    """Return the account of a message from the values of ACCOUNT_COLUMNS."""
    return account(
        status,
        error_code,
        is_retried=next_attempt_at is not None,
        text_version=text_version,
        attempts=attempts,
        timezone=timezone,
    )


def accounts_of(messages: QuerySet[Message]) -> dict[int, str]:
    """Return {message's id: its account}, in one query."""
    return {pk: found for pk, (_, found) in _places(messages).items()}


@contextmanager
def posted(ids: Collection[int]) -> Iterator[None]:
    """Post whatever the block does to messages: change, move to another mailing, delete.

    The caller has locked them, in a transaction that the block is part of.
    """
    messages = Message.objects.filter(pk__in=ids)
    before = _places(messages)
    yield
    after = _places(messages)
    moves: list[tuple[int, Move]] = []
    for pk, (mailing_id, was) in before.items():
        here, there = after.get(pk, (mailing_id, NOWHERE))
        if here == mailing_id:
            moves.append((mailing_id, Move(pk, was, there)))
        else:
            moves += [(mailing_id, Move(pk, was, NOWHERE)), (here, Move(pk, NOWHERE, there))]
    post_by_mailing(moves)


def _places(messages: QuerySet[Message]) -> dict[int, tuple[int, str]]:
    """Return {message's id: (its mailing's id, its account)}."""
    rows = messages.values_list("pk", "mailing", *ACCOUNT_COLUMNS)
    return {pk: (mailing_id, account_from(*columns)) for pk, mailing_id, *columns in rows}


def packed(ids: Sequence[int]) -> bytes:
    """Return ids as 8 bytes each, as Posting.message_ids keeps them."""
    return array("q", ids).tobytes()


def unpacked(ids: bytes | memoryview) -> list[int]:
    """Return the ids of Posting.message_ids."""
    return array("q", bytes(ids)).tolist()
