"""Scenes that tests of the engine begin with or come to: claimed messages, untouched ones."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connection

from mailings.preparing import read_running
from messages_app.engine import bulk, pump
from messages_app.engine.claiming import Share
from messages_app.engine.claiming import claim as claim_shares
from messages_app.engine.records import Bell, Claimed
from messages_app.ledger import reconciling
from messages_app.ledger.posting import accounts_of
from messages_app.models import Lease, Message

if TYPE_CHECKING:
    from mailings.models import Mailing

TOKEN = -7  # of the lease, unless a test names another
MINUTE = timedelta(minutes=1)


def is_wanted() -> bool:
    """Tell that there is other work for this process: it does not go on beyond its turn."""
    return True


def deliver(mailing_id: int, is_stopping: Callable[[], bool] = lambda: False) -> int:
    """Deliver a mailing's due messages, as send_message does."""
    bell = Bell(mailing_id, 0)
    return pump.deliver(bell, read_running, is_stopping=is_stopping, is_wanted=is_wanted)


def claim(
    mailing: "Mailing", now: datetime, *, lasts: timedelta = MINUTE, **changes: Any
) -> list[Claimed]:
    """Claim what is due, as a delivery does that has just looked at the mailing.

    `lasts` is how long its lease is; `changes` are other arguments of the claim, or of the
    snapshot (`filters`), or a whole `snapshot` that was read before.
    """
    claimed, _ = claim_more(mailing, now, lasts=lasts, **changes)
    return claimed


def claim_ids(mailing: "Mailing", now: datetime, **changes: Any) -> list[int]:
    """Claim what is due; return the messages' ids."""
    return [message.id for message in claim(mailing, now, **changes)]


def claim_more(
    mailing: "Mailing", now: datetime, *, lasts: timedelta = MINUTE, **changes: Any
) -> tuple[list[Claimed], bool]:
    """Claim what is due; tell also whether more may be due."""
    mailing.refresh_from_db()
    token, lease_until = changes.get("token", TOKEN), now + lasts
    Lease.objects.get_or_create(
        token=token, defaults={"mailing": mailing, "expires_at": lease_until}
    )
    snapshot = changes.pop("snapshot", None) or mailing.snapshot(changes.get("now", now))
    if filters := changes.pop("filters", None):
        snapshot = replace(snapshot, filters=filters)
    share = Share(snapshot, token, changes.get("limit", 100))
    now = changes.get("now", now)
    recheck_at = changes.get("recheck_at", now + 10 * MINUTE)
    (found,) = claim_shares([share], lease_until=lease_until, recheck_at=recheck_at, now=now)
    return found


def accept(ids: Iterable[int], *, token: int = TOKEN, at: datetime) -> int:
    """Record that the sender accepted messages at their first attempt, as a delivery does."""
    accounts = accounts_of(Message.objects.filter(pk__in=ids))
    mailings = dict(Message.objects.filter(pk__in=ids).values_list("pk", "mailing"))
    messages = [Claimed(pk, "", 1, accounts.get(pk, ""), 1) for pk in dict.fromkeys(ids)]
    mailing_id = next(iter(mailings.values()), 0)
    return bulk.record_accepted({mailing_id: messages}, tokens=[token], at=at)


def open_books() -> None:
    """Have the ledger know messages that a test has saved or changed by itself."""
    for mailing_id in set(Message.objects.values_list("mailing", flat=True)):
        reconciling.reconcile(mailing_id)


def untouched() -> int:
    """Count the messages that are as good as never claimed."""
    return Message.objects.filter(
        status="pending",
        attempts=0,
        lease_token=None,
        lease_until=None,
        error_code="",
        sent_at=None,
    ).count()


def somebody_waits() -> bool:
    """Tell whether a transaction of this Postgres waits for another one's lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])
