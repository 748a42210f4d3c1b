"""Why messages of a mailing failed: counts from the ledger, and an example of each reason."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mailings.models import Mailing
from mailings.stats import balances_of
from messages_app.examples import examples_of_failures
from messages_app.ledger.accounts import FAIL, RETRY
from messages_app.ledger.timeline import failures_seen


def failures(mailing: Mailing) -> dict[str, Any]:
    """Return the failed messages of a mailing by reason, the most frequent reason first."""
    found = balances_of([mailing])[mailing.pk]
    by_reason: dict[str, Counter[str]] = {}
    for account, number in found.items():
        if account.state in (RETRY, FAIL) and account.error_code and number:
            by_reason.setdefault(account.error_code, Counter())[account.state] += number
    total = sum(found.values())
    seen = failures_seen(mailing.pk) if by_reason else {}
    examples = examples_of_failures(mailing.pk, by_reason)
    rows = [
        _row(code, by_reason[code], total, seen, examples)
        for code in sorted(by_reason, key=lambda code: (-by_reason[code].total(), code))
    ]
    failed = sum(number for account, number in found.items() if account.state in (RETRY, FAIL))
    return {"total": total, "messages": failed, "results": rows}


def _row(
    code: str,
    numbers: Counter[str],
    total: int,
    seen: Mapping[str, tuple[datetime, datetime]],
    examples: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    first, last = seen.get(code, (None, None))
    return {
        "error_code": code,
        "messages": numbers.total(),
        "retrying": numbers[RETRY],
        "final": numbers[FAIL],
        "share": round(numbers.total() / total, 6),
        "first_seen_at": first,
        "last_seen_at": last,
        "example": examples.get(code),
    }
