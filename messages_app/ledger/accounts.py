"""Accounts: what a message is counted under. Each message is on one account at a time."""

from functools import lru_cache
from typing import NamedTuple

PENDING, RETRY, SUCCESS, FAIL = "pending", "retry", "success", "fail"

NOWHERE = ""  # the account of a message that does not exist (yet, or any more)


class Account(NamedTuple):
    """The state of messages, with all that they are counted by.

    `state` is their status; `retry` stands for failed messages that are tried again, and `fail`
    for those that are not. `text_version` is which text went out last; 0 before a message has
    succeeded or failed for good, and where nothing went out. `timezone` is the client's when the
    message was planned; empty if that is not known.
    """

    state: str
    error_code: str
    text_version: int
    timezone: str

    @property
    def status(self) -> str:
        """The messages' status, as REST says it."""
        return FAIL if self.state == RETRY else self.state

    def __str__(self) -> str:
        return f"{self.state}|{self.error_code}|{self.text_version}|{self.timezone}"


@lru_cache(4096)
def parse(text: str) -> Account:
    """Return the account that a text names, as in `Balance.account`."""
    state, error_code, text_version, timezone = text.split("|", 3)
    return Account(state, error_code, int(text_version), timezone)


@lru_cache(4096)
def account(
    status: str,
    error_code: str,
    *,
    is_retried: bool,
    text_version: int | None,
    attempts: int,
    timezone: str,
) -> str:
    """Return the account of a message as text, from the message's columns.

    `is_retried` says that it has a next attempt.
    """
    if status == PENDING:
        return str(Account(PENDING, "", 0, timezone))
    if status == FAIL and is_retried:
        return str(Account(RETRY, error_code, 0, timezone))
    version = text_version or 0 if attempts else 0
    return str(Account(status, "" if status == SUCCESS else error_code, version, timezone))


def claimable_account(status: str, error_code: str, timezone: str) -> str:
    """Return the account of a message that has a next attempt, from its columns."""
    return account(
        status, error_code, is_retried=True, text_version=0, attempts=0, timezone=timezone
    )


@lru_cache(4096)
def accepted(before: str, text_version: int | None) -> str:
    """Return the account of messages from `before` once the sender has accepted this text."""
    return str(Account(SUCCESS, "", text_version or 0, parse(before).timezone))
