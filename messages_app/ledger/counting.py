"""Counting: the balances as the messages themselves say them. It reads every message of a mailing.

Only for what the ledger does not have yet, and to prove it.
"""

from collections import Counter
from collections.abc import Collection
from typing import Any

from django.db.models import (
    BooleanField,
    Case,
    Count,
    ExpressionWrapper,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import Coalesce

from messages_app.ledger.accounts import Account, account, parse
from messages_app.ledger.balances import Balances
from messages_app.models import Message

# What makes an account, as `account_of_row` takes it.
COLUMNS = ("status", "error_code", "is_retried", "went_out", "timezone")


def count(mailing_ids: Collection[int]) -> dict[int, Balances]:
    """Return {mailing's id: its balances}, counted in one query."""
    found: dict[int, Counter[Account]] = {}
    if mailing_ids:
        rows = grouped(Message.objects.filter(mailing__in=mailing_ids), "mailing_id")
        for mailing_id, *columns, number in rows:
            found.setdefault(mailing_id, Counter())[parse(account_of_row(*columns))] += number
    return dict(found)


def grouped(messages: QuerySet[Message], *first: Any) -> QuerySet[Message, Any]:
    """Return rows (*first, *COLUMNS, number of messages)."""
    went_out = Case(When(attempts__gt=0, then=Coalesce("text_version", Value(0))), default=Value(0))
    is_retried = ExpressionWrapper(Q(next_attempt_at__isnull=False), output_field=BooleanField())
    rows = messages.order_by().annotate(is_retried=is_retried, went_out=went_out)
    return rows.values_list(*first, *COLUMNS).annotate(total=Count("pk"))


def account_of_row(
    status: str, error_code: str, is_retried: bool, went_out: int, timezone: str
) -> str:
    """Return the account that COLUMNS of `grouped` make."""
    return account(
        status,
        error_code,
        is_retried=bool(is_retried),
        text_version=went_out,
        attempts=1,
        timezone=timezone,
    )
