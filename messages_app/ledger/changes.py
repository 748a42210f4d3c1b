"""The change feed: every change of a message's status once, in the order of commits.

A cursor names a place in the ledger: `position.posting.offset`, and the posting's time as a check,
because a database that was restored from a backup gives the same places to other changes.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from django.db.models import Q, QuerySet

from messages_app.ledger.accounts import NOWHERE, RETRY, parse
from messages_app.ledger.folding import fold_all
from messages_app.ledger.posting import unpacked
from messages_app.models import Posting

START = "0.0.0.0"  # nosec B104  # the cursor before the first change of all
READ = 200  # postings read at once


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
        skipped = offset if posting.pk == posting_id else 0
        of_posting = list(_changes(posting))[skipped:]
        if not of_posting:
            continue
        if len(changes) == limit:
            return Page(changes, cursor, has_more=True)
        taken = of_posting[: limit - len(changes)]
        changes += taken
        cursor = _cursor(posting, skipped + len(taken))
        if len(taken) < len(of_posting):
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
    return _cursor(last, last.number) if last else START


def _postings_from(position: int, posting_id: int) -> Iterator[Posting]:
    """Yield the folded postings from a place on, the one at that place included."""
    folded = _folded().filter(position__gte=position)
    while True:
        here = Q(position__gt=position) | Q(pk__gte=posting_id)
        postings = list(folded.filter(here)[:READ])
        yield from postings
        if len(postings) < READ:
            return
        position, posting_id = postings[-1].position or 0, postings[-1].pk + 1
        folded = _folded().filter(position__gte=position)


def _folded() -> QuerySet[Posting]:
    return Posting.objects.filter(position__isnull=False).order_by("position", "pk")


def _changes(posting: Posting) -> Iterator[Change]:
    """Yield the changes of one posting: none where the state stayed as it was."""
    before = parse(posting.before) if posting.before != NOWHERE else None
    after = parse(posting.after) if posting.after != NOWHERE else None
    if before and after and before.state == after.state:
        return
    for message_id in unpacked(posting.message_ids):
        yield Change(
            message_id=message_id,
            mailing_id=posting.mailing_id,
            before=before and before.status,
            status=after and after.status,
            error_code=after.error_code if after else "",
            is_final=not after or after.state not in (RETRY, "pending"),
            at=posting.at,
        )


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
    at = Posting.objects.filter(pk=posting_id, position=position).values_list("at", flat=True)
    if (found := at.first()) is None or _check(found) != check:
        raise CursorTooOldError
