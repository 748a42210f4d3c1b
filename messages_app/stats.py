"""Counts of messages: the statuses always add up to the total."""

from collections import Counter
from collections.abc import Mapping

from django.db.models import Count, QuerySet

from messages_app.ledger.accounts import FAIL, PENDING, RETRY, SUCCESS, Account
from messages_app.ledger.balances import Balances
from messages_app.models import ErrorCode, Message, Standing

STANDINGS = {SUCCESS: Standing.SENT, PENDING: Standing.WAITING, RETRY: Standing.RETRIED}


def complete_counts(by_status: Mapping[str, int]) -> dict[str, int]:
    """Return {status: number of messages} with zeros, and "total"."""
    known = {status: by_status.get(status, 0) for status in Message.Status.values}
    return {**known, "total": sum(known.values())}


def by_status(found: Balances) -> dict[str, int]:
    """Return {status: number of messages} from balances."""
    numbers: Counter[str] = Counter()
    for account, number in found.items():
        numbers[account.status] += number
    return dict(numbers)


def standing(account: Account) -> Standing:
    """Return how an operator counts messages that are on an account."""
    is_unknown = account.error_code == ErrorCode.UNCONFIRMED
    return STANDINGS.get(account.state, Standing.UNKNOWN if is_unknown else Standing.FAILED)


def by_standing(found: Balances) -> dict[Standing, int]:
    """Return {standing: number of messages} from balances, with zeros."""
    numbers = dict.fromkeys(Standing, 0)
    for account, number in found.items():
        numbers[standing(account)] += number
    return numbers


def by_error_code(found: Balances) -> dict[str, int]:
    """Return {error code: number of failed messages} from balances, as far as it is known."""
    numbers: Counter[str] = Counter()
    for account, number in found.items():
        if account.status == FAIL and account.error_code:
            numbers[account.error_code] += number
    return {code: number for code, number in numbers.items() if number}


def failures(found: Balances) -> dict[str, int]:
    """Return {error code: number of messages that failed for good} from balances."""
    numbers: Counter[str] = Counter()
    for account, number in found.items():
        if account.state == FAIL:
            numbers[account.error_code] += number
    return {code: number for code, number in numbers.items() if number}


def ledger_stats(found: Balances) -> dict[str, object]:
    """Return counts of messages by status, and of failed ones by error code, from balances."""
    return {**complete_counts(by_status(found)), "error_codes": by_error_code(found)}


def message_stats(messages: QuerySet[Message]) -> dict[str, object]:
    """Return counts of messages by status, and of failed ones by error code, in one query."""
    by_status: Counter[str] = Counter()
    error_codes: dict[str, int] = {}
    rows = messages.order_by().values_list("status", "error_code").annotate(Count("pk"))
    for status, error_code, number in rows:
        by_status[status] += number
        if status == Message.Status.FAIL:
            error_codes[error_code] = number
    return {**complete_counts(by_status), "error_codes": error_codes}
