"""The audit: checks that every message is accounted for, and that nothing was sent against rules.

Each check yields the ids of messages, mailings or clients that break its rule; the docstring of a
check is its rule, as printed. All checks read one snapshot of the database, so an audit can run
while mailings are being delivered.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, groupby, islice
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import (
    CharField,
    Count,
    Exists,
    F,
    IntegerField,
    Model,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Cast, Coalesce, Greatest

from clients import tally
from clients.audience import KEYS
from clients.models import Client
from mailings.models import Mailing
from mailings.querysets import MailingQuerySet
from messages_app.ledger import folding, reconciling
from messages_app.models import Attempt, ErrorCode, Lease, Line, Message, Posting
from messages_app.querysets import MessageQuerySet
from messages_app.stats import complete_counts
from toolkit import clock
from toolkit.sending_hours import Window, next_opening

GRACE = timedelta(minutes=5)  # that the ticks may take to correct something
ANSWER_DELAY = timedelta(seconds=5)  # from receiving an answer to writing it, at most
EXAMPLES = 10  # ids that a finding names

Status = Message.Status


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    `number` is how many rows break the rule; `ids` are the first EXAMPLES of them.
    """

    name: str
    rule: str
    number: int
    ids: list[int]

    @property
    def is_good(self) -> bool:
        """Whether nothing breaks the rule."""
        return self.number == 0


@dataclass(slots=True)
class Report:
    """The result of an audit: the totals, and the finding of each check."""

    at: datetime
    mailings: int
    stats: dict[str, int]
    findings: list[Finding] = field(default_factory=list)
    # {name: number} of what breaks no rule and is worth knowing.
    notes: dict[str, int] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether no check found anything."""
        return all(each.is_good for each in self.findings)


@dataclass(frozen=True, slots=True)
class AuditScope:
    """The mailings and messages that are checked, and the time of the snapshot."""

    mailings: MailingQuerySet
    messages: MessageQuerySet
    now: datetime

    @property
    def sent(self) -> MessageQuerySet:
        """The messages that are a success."""
        return self.messages.filter(status=Status.SUCCESS)

    @property
    def attempts(self) -> QuerySet[Attempt]:
        """The log of the messages' attempts."""
        return Attempt.objects.filter(message__in=self.messages)


Compare = Callable[[Report, AuditScope], None]


def audit(
    *,
    mailing_id: int | None = None,
    compare: Compare | None = None,
    at: datetime | None = None,
) -> Report:
    """Check the messages of one mailing or of all; return the report.

    `compare` may add findings to the report from the same snapshot, such as a comparison with the
    sandbox sender's journal. `at` is what counts as now: of a backup, the moment of its making.
    """
    with _one_moment():
        scope = _scope(mailing_id, at or clock.now())
        totals = complete_counts(scope.messages.count_by_status())
        report = Report(scope.now, scope.mailings.count(), totals)
        report.findings = [
            finding(check.__name__, check.__doc__ or "", check(scope)) for check in CHECKS
        ]
        report.notes["unconfirmed"] = scope.messages.unconfirmed().count()
        if compare:
            compare(report, scope)
    return report


def counts_add_up(scope: AuditScope) -> Iterator[int]:
    """The final counts of a closed mailing are those of its messages, and none is pending."""
    closed = scope.mailings.closed()
    counted = scope.messages.filter(mailing__in=closed).count_by_mailing()
    for mailing in closed.iterator():
        real = complete_counts(counted.get(mailing.pk, {}))
        if (real["pending"], real["success"], real["fail"]) != (
            0,
            mailing.success_count,
            mailing.fail_count,
        ):
            yield mailing.pk


def ledger_adds_up(scope: AuditScope) -> Iterable[int]:
    """The ledger says of each mailing what its messages say, by state, reason and time zone."""
    known = scope.mailings.exclude(ledger_at=None)
    return sorted(reconciling.differences(known.order_by().values("pk")))


def balances_are_postings(scope: AuditScope) -> Iterable[int]:
    """The folded counts of a mailing are the sum of its postings, while all of those are kept."""
    oldest = Posting.objects.exclude(position=None).order_by("position", "pk").first()
    if not oldest:
        return ()
    known = scope.mailings.exclude(ledger_at=None).filter(created_at__gt=oldest.at)
    return sorted(folding.misfolded(known.order_by().values("pk")))


def addressees_exist(scope: AuditScope) -> Iterable[int]:
    """A message's mailing exists, and so does its client, unless it says that it was deleted."""
    mailings = Mailing.including_deleted.filter(pk=OuterRef("mailing"))
    clients = Client.objects.filter(pk=OuterRef("client"))
    is_stray = ~Exists(mailings) | Q(client__isnull=False) & ~Exists(clients)
    return ids_of(scope.messages.filter(is_stray))


def successes_were_accepted(scope: AuditScope) -> Iterable[int]:
    """A success has a time and an accepted attempt: the first, or one that is in the log."""
    log = Attempt.objects.filter(message=OuterRef("pk"))
    accepted = Exists(log.filter(error_code=""))
    first = Q(attempts=1) & ~Exists(log)
    return ids_of(scope.sent.exclude(Q(sent_at__isnull=False) & (first | accepted)))


def failures_have_a_reason(scope: AuditScope) -> Iterable[int]:
    """A failed message says why, in a word that is known."""
    failed = scope.messages.filter(status=Status.FAIL)
    return ids_of(failed.exclude(error_code__in=ErrorCode.values))


def doubts_are_named(scope: AuditScope) -> Iterable[int]:
    """What failed for good and may have arrived all the same is called unconfirmed."""
    unclear = Attempt.objects.filter(message=OuterRef("pk"), is_unclear=True)
    failed = scope.messages.unleased().filter(status=Status.FAIL, next_attempt_at=None)
    return ids_of(failed.filter(Exists(unclear)).exclude(error_code=ErrorCode.UNCONFIRMED))


def attempts_are_logged(scope: AuditScope) -> Iterable[int]:
    """Every attempt is in the log, but for a success at the first."""
    log = Attempt.objects.filter(message=OuterRef("pk")).order_by().values("message")
    number = Subquery(log.annotate(Count("pk")).values("pk__count"), IntegerField())
    settled = scope.messages.unleased().exclude(status=Status.SUCCESS, attempts=1)
    return ids_of(settled.annotate(logged=Coalesce(number, 0)).exclude(attempts=F("logged")))


def sent_in_time(scope: AuditScope) -> Iterable[int]:
    """Nothing was sent before the start time, or later than the longest request after the stop."""
    late = F("last_moment") + timedelta(seconds=settings.MESSAGE_SENDER_TIMEOUT) + ANSWER_DELAY
    # A stop time that was set into the past stops sending from the moment it was set.
    sent = scope.sent.annotate(last_moment=Greatest("mailing__stop_time", "mailing__updated_at"))
    known = sent.exclude(Exists(_learned_late()))
    return ids_of(known.filter(Q(sent_at__lt=F("mailing__start_time")) | Q(sent_at__gt=late)))


def tried_in_time(scope: AuditScope) -> Iterable[int]:
    """No attempt began before the start time or after the stop time."""
    mailing = "message__mailing__"
    late = Greatest(f"{mailing}stop_time", f"{mailing}updated_at") + ANSWER_DELAY
    early = Q(began_at__lt=F(f"{mailing}start_time"))
    wrong = scope.attempts.annotate(late=late).filter(early | Q(began_at__gt=F("late")))
    return wrong.order_by("message").values_list("message", flat=True).distinct().iterator()


def sent_within_windows(scope: AuditScope) -> Iterator[int]:
    """With a window, nothing was sent outside it by the client's own clock."""
    slack = timedelta(seconds=settings.MESSAGE_SENDER_TIMEOUT) + ANSWER_DELAY
    sent = scope.sent.exclude(Exists(_learned_late()))
    return _outside_windows(sent, "", "sent_at", slack)


def tried_within_windows(scope: AuditScope) -> Iterable[int]:
    """With a window, no attempt began outside it by the client's own clock."""
    attempts = scope.attempts.exclude(began_at=None).order_by("message", "number")
    outside = _outside_windows(attempts, "message__", "began_at", ANSWER_DELAY)
    return (pk for pk, _ in groupby(outside))


def nothing_left_of_closed(scope: AuditScope) -> Iterable[int]:
    """A mailing that is closed has no message that is to be sent or on its way."""
    closed = scope.messages.filter(mailing__in=scope.mailings.closed())
    return ids_of(closed.unfinished() | closed.leased())


def everything_over_is_closed(scope: AuditScope) -> Iterable[int]:
    """A mailing that is over is closed within minutes."""
    for_long = scope.now - GRACE
    # It may have been cancelled, or its stop time set into the past, only now.
    return ids_of(scope.mailings.to_close(for_long).filter(updated_at__lte=for_long))


def nobody_is_lost(scope: AuditScope) -> Iterable[int]:
    """What is to be sent stands in line, waits in the queue for its time, or is on its way."""
    passed = Line.objects.filter(mailing=OuterRef("mailing")).values("passed")
    unsent = scope.messages.filter(mailing__in=scope.mailings.open()).unfinished().unleased()
    unsent = unsent.annotate(passed=Subquery(passed))
    is_passed_over = Q(queued_at=None) & (Q(client=None) | Q(client__lte=F("passed")))
    is_misplaced = Q(queued_at__isnull=False) & ~Q(queued_at=F("next_attempt_at"))
    # Of mailings that an earlier version changes, which knows no queue, it is mended afterwards.
    ours = Q(mailing__ledger_at__isnull=False)
    over = scope.messages.filter(ours, next_attempt_at=None, queued_at__isnull=False)
    is_wrong = is_passed_over | ours & is_misplaced
    return chain(ids_of(unsent.filter(is_wrong)), ids_of(over))


def drafts_have_no_messages(scope: AuditScope) -> Iterable[int]:
    """A draft, which nobody has launched, has no messages."""
    return ids_of(scope.messages.filter(mailing__in=scope.mailings.drafts()))


def leases_end(scope: AuditScope) -> Iterable[int]:
    """No delivery holds a message for longer than its lease, or without one."""
    leases = Lease.objects.filter(token=OuterRef("lease_token"))
    leased = scope.messages.unfinished().leased()
    return ids_of(leased.filter(Q(lease_until__lt=scope.now - GRACE) | ~Exists(leases)))


def clients_are_tallied(scope: AuditScope) -> Iterator[int]:
    """The tally has the number of clients of each kind (by id of one of it; 0 if there is none)."""
    for kind in tally.differences():
        alike = Client.objects.matching(dict(zip(KEYS, kind, strict=True))).order_by("pk")
        yield alike.values_list("pk", flat=True).first() or 0


CHECKS: tuple[Callable[[AuditScope], Iterable[int]], ...] = (
    counts_add_up,
    ledger_adds_up,
    balances_are_postings,
    addressees_exist,
    successes_were_accepted,
    failures_have_a_reason,
    doubts_are_named,
    attempts_are_logged,
    sent_in_time,
    tried_in_time,
    sent_within_windows,
    tried_within_windows,
    nothing_left_of_closed,
    everything_over_is_closed,
    nobody_is_lost,
    drafts_have_no_messages,
    leases_end,
    clients_are_tallied,
)


def _scope(mailing_id: int | None, now: datetime) -> AuditScope:
    mailings, messages = Mailing.objects.order_by("pk"), Message.objects.order_by("pk")
    # Named one by one, because a subquery would make each check many times slower; they are few.
    deleted = list(Mailing.including_deleted.deleted().values_list("pk", flat=True))
    if deleted:
        messages = messages.exclude(mailing__in=deleted)
    if mailing_id is not None:
        mailings, messages = mailings.filter(pk=mailing_id), messages.filter(mailing=mailing_id)
    return AuditScope(mailings, messages, now)


def _learned_late() -> QuerySet[Attempt]:
    """The accepted attempts that became known later, so that `sent_at` is not their own time."""
    accepted = Attempt.objects.filter(message=OuterRef("pk"), error_code="")
    return accepted.exclude(error="")  # services.mark_accepted writes a sentence there.


def _outside_windows(
    rows: QuerySet[Any], message: str, moment: str, slack: timedelta
) -> Iterator[int]:
    """Yield ids of messages whose window was shut at a time and all through `slack` before it.

    Left out is what happened before the mailing or the client was edited: the window or the zone
    may have been another one then. `message` is the lookup path from a row to its message, and
    `moment` the name of the column with the time.
    """
    for holder in (f"{message}mailing__", f"{message}client__"):
        # A row that was never edited has both times within a second.
        edited_at, made_at = F(f"{holder}updated_at"), F(f"{holder}created_at")
        unedited = Q(**{f"{holder}updated_at__lt": made_at + timedelta(seconds=1)})
        rows = rows.filter(unedited | Q(**{f"{moment}__gt": edited_at + GRACE}))
    # As text, because the field refuses the name of a zone that this machine does not have.
    rows = rows.annotate(zone=Cast(f"{message}client__timezone", CharField()))
    hours = (f"{message}mailing__window_start", f"{message}mailing__window_end")
    rows = rows.exclude(**{hours[0]: None})
    for pk, at, zone, *ends in rows.values_list(f"{message}pk", moment, "zone", *hours).iterator():
        if next_opening(Window(*ends), zone, at - slack) > at:
            yield pk


def ids_of(rows: QuerySet[Model]) -> Iterator[int]:
    """Return the ids of rows, read from the database in chunks."""
    return rows.values_list("pk", flat=True).iterator()


def finding(name: str, rule: str, ids: Iterable[int]) -> Finding:
    """Return the finding of a check that yields these ids."""
    ids = iter(ids)
    first = list(islice(ids, EXAMPLES))
    return Finding(name, rule, len(first) + sum(1 for _ in ids), first)


@contextmanager
def _one_moment() -> Iterator[None]:
    """Read one snapshot of the database in the whole block, without blocking writers.

    It begins a transaction by itself, because one of Django's would block all writers on SQLite.
    """
    if connection.in_atomic_block:  # The caller's transaction is the snapshot.
        yield
        return
    level = " ISOLATION LEVEL REPEATABLE READ, READ ONLY" if connection.vendor != "sqlite" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"BEGIN{level}")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")
