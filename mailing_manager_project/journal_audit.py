"""The audit with the sandbox sender's journal, which the product does not write itself.

The ids that its findings name are those by which the sender knows messages.
"""

from functools import partial
from pathlib import Path

from mailings.audit import AuditScope, Report, audit, finding
from messages_app.querysets import MessageQuerySet
from messages_app.sender_ids import sender_id
from sandbox_sender.journal import read_journal


def audit_with_journal(journal: Path, *, mailing_id: int | None = None) -> Report:
    """Check the messages of one mailing or of all, also against the sandbox sender's journal.

    Raises:
        OSError, JournalError: the journal cannot be read.
    """
    return audit(mailing_id=mailing_id, compare=partial(_compare, journal, mailing_id is None))


def _compare(path: Path, is_everything: bool, report: Report, scope: AuditScope) -> None:
    """Add findings: messages the sender accepted that are no success here, and the reverse."""
    # Read after the snapshot of the database, so it has every message that is a success in it.
    journal = read_journal(path)
    ours = _sender_ids(scope.messages)
    sent = _sender_ids(scope.sent)
    # What is below 0 was sent by `messages_app.sending.trial`, and counts nowhere.
    accepted = {pk for pk in journal.accepted if (is_everything and pk >= 0) or pk in ours}
    unfinished = _sender_ids(scope.messages.unfinished())
    unconfirmed = _sender_ids(scope.messages.unconfirmed())
    twice = (pk for pk in accepted if journal.accepted[pk] > 1)
    report.findings += [
        finding(
            "journal_knows_successes", "Every success is in the sender's journal.", sent - accepted
        ),
        finding(
            "journal_knows_no_others",
            "Every message that the sender accepted is ours, unless its mailing was deleted since.",
            accepted - ours,
        ),
        finding(
            "accepted_is_success",
            "What the sender accepted is a success, if it is not open or unconfirmed.",
            (accepted & ours) - sent - unfinished - unconfirmed,
        ),
        finding("delivered_once", "The sender accepted nothing twice.", twice),
    ]
    report.notes["accepted"] = len(accepted)
    report.notes["repeated"] = sum(journal.repeated[pk] for pk in accepted)
    report.notes["accepted_and_open"] = len(accepted & unfinished)
    report.notes["accepted_and_unconfirmed"] = len(accepted & unconfirmed)


def _sender_ids(messages: MessageQuerySet) -> set[int]:
    """Return the ids by which the sender knows messages."""
    rows = messages.values_list("mailing__sender_key", "pk", "phone_number").iterator()
    return {sender_id(key, message_id=pk, phone_number=number) for key, pk, number in rows}
