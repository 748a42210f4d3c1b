"""Messages that arrived after all: one, or step by step all of a mailing of which nobody knows."""

from collections.abc import Collection
from datetime import datetime

from django.db.models import Exists, OuterRef

from messages_app.ledger.posting import posted
from messages_app.models import Attempt, Message
from messages_app.sql import index_scans_only
from toolkit.rest.walking import DISORDER, first_id_at

LOOKED_AT = 20_000  # messages whose last attempt failed that one step looks at
ACCEPTED = 1_000  # of them that one step makes a success


def accept(ids: Collection[int], *, at: datetime) -> None:
    """Make messages a success that are not leased any more. The caller has locked them.

    `at` is when it became known that the sender had accepted them.
    """
    messages = Message.objects.filter(pk__in=ids)
    Attempt.objects.bulk_create(
        [
            Attempt(
                message_id=pk,
                number=number,
                error_code="",
                error="It turned out later that it had arrived.",
                is_unclear=False,
            )
            for pk, number in messages.order_by("pk").values_list("pk", "attempts")
        ],
        update_conflicts=True,
        unique_fields=["message", "number"],
        update_fields=["error_code", "error", "is_unclear"],
    )
    with posted(ids):
        messages.schedule(
            None,
            status=Message.Status.SUCCESS,
            sent_at=at,
            lease_token=None,
            lease_until=None,
            error_code="",
            error="",
        )


def accept_unconfirmed(
    mailing_id: int, *, after: int, asked_at: datetime, now: datetime
) -> tuple[int, int | None]:
    """Make the next unconfirmed messages of a mailing a success that are not tried again.

    Those whose last attempt began later than somebody asked for that are left out: of them nobody
    said anything. `after` is the id of the last message looked at.

    Returns:
        How many became a success, and the last message looked at now; None if there are no more.
    """
    failed = Message.objects.exclude(error_code="").filter(pk__gt=after)
    with index_scans_only():
        last = failed.order_by("pk").values_list("pk", flat=True)[LOOKED_AT - 1 :].first()
        these = failed.filter(pk__lte=last) if last else failed
        later = Attempt.objects.filter(
            message=OuterRef("pk"), number=OuterRef("attempts"), began_at__gte=asked_at
        )
        unknown = these.unconfirmed().unleased().filter(~Exists(later), mailing=mailing_id)
        found = unknown.order_by("pk").select_for_update().values_list("pk", flat=True)
        ids = list(found[:ACCEPTED])
        accept(ids, at=now)
    return len(ids), ids[-1] if len(ids) == ACCEPTED else last


def first_place(made_at: datetime) -> int:
    """Return after which message those of a mailing come that was made at a time."""
    return first_id_at(Message.objects.all(), made_at - DISORDER) - 1
