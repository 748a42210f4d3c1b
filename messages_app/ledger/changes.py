"""The change feed: every change of a message's status once, in the order of commits.

A cursor names a place in the ledger: `position.posting.offset`, and the posting's time as a check,
because a database that was restored from a backup gives the same places to other changes.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db.models import Q, QuerySet

from messages_app.ledger.accounts import NOWHERE, PENDING, RETRY, Account, parse
from messages_app.ledger.folding import fold_all
from messages_app.ledger.posting import unpacked
from messages_app.models import Posting

START = "0.0.0.0"  # nosec B104  # the cursor before the first change of all
READ = 20  # postings read at once; each has thousands of ids at most


class CursorError(ValueError):
    """A text is no cursor of this feed."""


class CursorTooOldError(LookupError):
    """What follows a cursor was dropped, or the database was restored to before it."""


class Change(NamedTuple):
    """One message that changed its status; `status` is None when it was withdrawn.

    `before` is None when it was planned. `is_final` says that it will not be tried again.
    """

    message_id: int
    mailing_id: int
    before: str | None
    status: str | None
    error_code: str
    is_final: bool
    at: datetime


class Page(NamedTuple):
    """Some changes, the cursor behind the last of them, and whether there are more now."""

    changes: list[Change]
    next: str
    has_more: bool


def read(*, after: str, limit: int) -> Page:
    """Return up to `limit` changes that were committed behind a cursor, oldest first.

    Raises:
        CursorError: `after` is no cursor.
        CursorTooOldError: it is no cursor of this database any more.
    """
    position, posting_id, offset, check = _parsed(after)
    fold_all()
    _verify(position, posting_id, check)
    changes: list[Change] = []
    cursor = after
    for posting in _postings_from(position, posting_id):
        first = offset if posting.pk == posting_id else 0
        ids = _changed_ids(posting)
        if ids[first:] and len(changes) == limit:
            return Page(changes, cursor, has_more=True)
        end = min(len(ids), first + limit - len(changes))
        changes += _changes(posting, ids[first:end])
        # Behind a posting that tells nothing, too, so that nobody reads it again and again.
        cursor = _cursor(posting, max(first, end))
        if end < len(ids):
            return Page(changes, cursor, has_more=True)
    return Page(changes, cursor, has_more=False)


def oldest_cursor() -> str:
    """Return the cursor before the oldest change that is kept."""
    first = _folded().first()
    return _cursor(first, 0) if first else START


def latest_cursor() -> str:
    """Return the cursor behind the last change: a reader begins with what comes next."""
    fold_all()
    last = Posting.objects.filter(position__isnull=False).order_by("position", "pk").last()
    return _cursor(last, len(_changed_ids(last))) if last else START


def _postings_from(position: int, posting_id: int) -> Iterator[Posting]:
    """Yield the folded postings from a place on, the one at that place included."""
    while True:
        here = Q(position__gt=position) | Q(position=position, pk__gte=posting_id)
        postings = list(_folded().filter(here, position__gte=position)[:READ])
        yield from postings
        if len(postings) < READ:
            return
        position, posting_id = postings[-1].position or 0, postings[-1].pk + 1


def _folded() -> QuerySet[Posting]:
    return Posting.objects.filter(position__isnull=False).order_by("position", "pk")


def _changed_ids(posting: Posting) -> list[int]:
    """Return the messages of a posting; none where only the account changed, not the state."""
    before, after = _account(posting.before), _account(posting.after)
    is_silent = before and after and before.state == after.state
    return [] if is_silent else unpacked(posting.message_ids)


def _changes(posting: Posting, ids: Sequence[int]) -> list[Change]:
    """Return the changes of these messages of one posting."""
    before, after = _account(posting.before), _account(posting.after)
    told = (
        posting.mailing_id,
        before and before.status,
        after and after.status,
        after.error_code if after else "",
        not after or after.state not in (PENDING, RETRY),
        posting.at,
    )
    return [Change(message_id, *told) for message_id in ids]


def _account(text: str) -> Account | None:
    return parse(text) if text != NOWHERE else None


def _parsed(cursor: str) -> tuple[int, int, int, int]:
    try:
        position, posting_id, offset, check = (int(part) for part in cursor.split("."))
    except ValueError:
        raise CursorError(cursor) from None
    if min(position, posting_id, offset, check) < 0:
        raise CursorError(cursor)
    return position, posting_id, offset, check


def _cursor(posting: Posting, offset: int) -> str:
    return f"{posting.position}.{posting.pk}.{offset}.{_check(posting.at)}"


def _check(at: datetime) -> int:
    """Return the last six digits of a time in microseconds."""
    return at.microsecond


def _verify(position: int, posting_id: int, check: int) -> None:
    """Make sure that nothing behind a cursor is missing.

    Raises:
        CursorTooOldError: its posting was dropped, or is another one.
    """
    if not position:
        if Posting.objects.filter(position=1).exists() or not _folded().exists():
            return
        raise CursorTooOldError
    place = Posting.objects.filter(pk=posting_id, position=position)
    found = place.values_list("at", flat=True).first()
    if found is None or _check(found) != check:
        raise CursorTooOldError
