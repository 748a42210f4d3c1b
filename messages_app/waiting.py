"""Waiting: where the messages of a mailing are that are still to be sent, and who is next.

A message that is planned and due stands *in line*: its place is its client's id, and `Line` says
how far messages were claimed. Whatever else is to be sent waits in the *queue* for its time
(`Message.queued_at`): what is tried again, was put off or given back, or was added by hand. So a
message that is accepted at its first attempt stands in no index that changes
(docs/adr/0022-line-and-queue.md).
"""

from collections.abc import Collection, Iterator
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, Subquery
from django.db.models.lookups import IsNull

from messages_app.models import Line, Message
from messages_app.querysets import MessageQuerySet
from messages_app.sql import (
    Statement,
    has_id,
    index_scans_only,
    moment_value,
    run_by_index,
    table_of,
)

STRETCH = 20_000  # messages that one statement puts right


def someone_may_be_due(now: datetime) -> Q:
    """Return a condition on mailings: messages may be due, which `count_due` tells exactly."""
    queue = Message.objects.filter(mailing=OuterRef("pk"), queued_at__lte=now).queued().due(now)
    in_line = Line.objects.filter(mailing=OuterRef("pk"), is_empty=False)
    return Q(IsNull(_first(queue), rhs=False)) | Q(Exists(in_line))


def nobody_is_queued() -> Q:
    """Return a condition on mailings: nobody is in their queue."""
    return Q(IsNull(_first(Message.objects.filter(mailing=OuterRef("pk")).queued()), rhs=True))


def _first(messages: MessageQuerySet) -> Subquery:
    """Return the first of these messages, which only their order finds.

    Where it is asked whether one exists, Postgres may take any index, or the table, because it
    expects to meet one soon; if there is none it has read millions in vain.
    """
    return Subquery(messages.values("pk")[:1])


def count_due(mailing_id: int, *, now: datetime, limit: int) -> int:
    """Count the messages of a mailing that may be claimed now; `limit` stands for that and more.

    Of a line that goes on behind what is looked through here, one more is counted: a claim finds
    out.
    """
    with index_scans_only():
        number = queue(mailing_id, now).due(now)[:limit].count()
        if number == limit:
            return number
        end = _end_of_stretch(mailing_id) if queue(mailing_id).exists() else None
        number += line(mailing_id, end).due(now)[: limit - number].count()
    return min(limit, number + (end is not None))


def mailings_due(ids: Collection[int], *, now: datetime) -> set[int]:
    """Return those of the mailings of which messages may be due.

    Of each the first message in its queue is looked for: millions may be due there at once.
    """
    if not ids:
        return set()
    moment = moment_value(now)
    statement = Statement(
        f"""
        SELECT column1, (
            SELECT id FROM {table_of(Message)} WHERE mailing_id = column1 AND queued_at <= %s
                AND next_attempt_at <= %s AND lease_until IS NULL
            ORDER BY mailing_id, queued_at LIMIT 1
        ), (SELECT is_empty FROM {table_of(Line)} WHERE mailing_id = column1)
        FROM (VALUES {", ".join(["(%s)"] * len(ids))}) AS mailing
        """,
        [moment, moment, *ids],
    )
    with transaction.atomic():
        (rows,) = run_by_index(statement)
    return {pk for pk, queued, is_empty in rows if queued or is_empty in (False, 0)}


def next_attempt_at(mailing_id: int) -> datetime | None:
    """Return when the next message of a mailing that is not on its way is, or was, due."""
    queued = _first_moment(queue(mailing_id))
    in_line = _first_moment(line(mailing_id, _end_of_stretch(mailing_id) if queued else None))
    return min(filter(None, [queued, in_line]), default=None)


def due_since(mailing_id: int, *, now: datetime, shut: Collection[str] = ()) -> datetime | None:
    """Return since when the next messages of a mailing that nobody holds are due; None: none is.

    Those planned in a time zone that is `shut` are left out: they wait for their window.
    """
    is_bounded = shut or queue(mailing_id).exists()
    end = _end_of_stretch(mailing_id) if is_bounded else None
    with index_scans_only():
        ways = (queue(mailing_id, now), line(mailing_id, end))
        found = [_first_moment(way.due(now).exclude(timezone__in=shut)) for way in ways]
    return min(filter(None, found), default=None)


def _first_moment(waiting: MessageQuerySet) -> datetime | None:
    return waiting.unleased().values_list("next_attempt_at", flat=True).first()


def queue(mailing_id: int, now: datetime | None = None) -> MessageQuerySet:
    """Return a mailing's queue, the oldest first; up to `now`, if given."""
    messages = Message.objects.filter(mailing=mailing_id).queued()
    return messages.filter(queued_at__lte=now) if now else messages


def line(mailing_id: int, end: int | None = None) -> MessageQuerySet:
    """Return the messages in line, the next one first; up to the client `end`, if given."""
    passed = Line.objects.passed(mailing_id)
    in_line = Message.objects.filter(mailing=mailing_id).in_line(behind=passed)
    return in_line.filter(client__lte=end) if end else in_line


def _end_of_stretch(mailing_id: int) -> int | None:
    """Return the client of the STRETCH-th message that the line has not passed yet, if any.

    Perhaps nobody stands in line up to there: those of a whole region wait in the queue until their
    window opens, and to look for the first one behind them could take half a minute.
    """
    passed = Line.objects.passed(mailing_id)
    behind = Message.objects.filter(mailing=mailing_id, client__gt=passed)
    ends = behind.order_by("mailing_id", "client_id").values_list("client", flat=True)
    return ends[STRETCH - 1 : STRETCH].first()


def take_unsent(mailing_id: int, limit: int) -> list[int]:
    """Take at most `limit` messages that wait out of the queue or the line, for good.

    Returns:
        Their ids. They are locked until the transaction ends; whoever has called this finishes
        them.
    """
    with index_scans_only():
        queued = queue(mailing_id).unleased().select_for_update()
        ids = list(queued.values_list("pk", flat=True)[:limit])
        if ids:
            return ids
        place = Line.objects.lock(mailing_id)
        while True:
            end = _end_of_stretch(mailing_id)
            in_line = line(mailing_id, end).unleased().select_for_update()
            rows = list(in_line.values_list("pk", "client_id")[:limit])
            is_seen = len(rows) < limit  # all up to the end of the stretch
            last = end if is_seen and end else rows[-1][1] if rows else None
            pass_on(place, last, is_empty=is_seen and end is None)
            if rows or end is None:
                return [pk for pk, _ in rows]


def pass_on(place: Line, last: int | None, *, is_empty: bool) -> None:
    """Remember that messages in line were taken, up to that of the client `last`, if any.

    `is_empty` says that nobody is left. The caller has locked the line.
    """
    place.passed, place.is_empty = last or place.passed, is_empty
    place.save(update_fields=["passed", "is_empty"])


def find_lost(mailing_id: int) -> int:
    """Put those into the queue that the line has passed and nobody holds; return their number.

    Such are messages that somebody else had locked at the moment of a claim, and what an earlier
    version leaves behind, which knows no line. It looks at all messages of the mailing, a stretch
    in each statement.
    """
    passed = Line.objects.passed(mailing_id)
    nowhere = Message.objects.filter(mailing=mailing_id, queued_at=None).unfinished().unleased()
    found = nowhere.filter(client=None).order_by().update(queued_at=F("next_attempt_at"))
    for after, up_to in _stretches(mailing_id, passed):
        behind = nowhere.filter(client__gt=after, client__lte=up_to)
        found += behind.order_by().update(queued_at=F("next_attempt_at"))
    if line(mailing_id).exists():
        Line.objects.lengthen(mailing_id)
    return found


def _stretches(mailing_id: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of clients' ids, together up to `last`, with at most STRETCH messages in each.

    The lower bound of each is not part of it.
    """
    after = 0
    while after < last:
        ids = Message.objects.filter(mailing=mailing_id, client__gt=after, client__lte=last)
        ends = ids.order_by("mailing_id", "client_id").values_list("client", flat=True)
        with index_scans_only():
            up_to = ends[STRETCH - 1 : STRETCH].first() or last
        yield after, up_to
        after = up_to


def mend_queue(mailing_id: int) -> int:
    """Put messages where they belong in the queue, or take them out of it; return their number.

    An earlier version knows no queue. What it finishes or puts off stays in its former place, and
    whoever claims has to read past it each time.
    """
    queue = Message.objects.filter(mailing=mailing_id, queued_at__isnull=False).unleased()
    is_over = Q(next_attempt_at=None)
    misplaced = queue.filter(is_over | ~Q(queued_at=F("next_attempt_at")))
    mended = 0
    while ids := list(misplaced.order_by().values_list("pk", flat=True)[:STRETCH]):
        mended += misplaced.filter(has_id(ids)).order_by().update(queued_at=F("next_attempt_at"))
    return mended
