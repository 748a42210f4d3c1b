"""The letter that tells the end of a mailing: what was signed of it, with a mailbox as witness.

Its numbers are those of the statement, which was made when the mailing was closed, or has changed.
"""

import json
from datetime import datetime

from django.utils.translation import gettext as _

from mailings.models import Mailing, Statement
from reports.models import Recipient
from reports.writing import Content, Figure, Table, name_of, reason_of, whence
from toolkit.console.labels import format_minute
from toolkit.console.numbers import number


def ending_letter(recipient: Recipient, statement: Statement) -> Content:
    """Return what a recipient is told of a statement, in the language and zone that are active."""
    said = json.loads(statement.document)
    messages, failed = said["messages"], said["messages"]["failed"]
    figures = [
        Figure(_("Accepted"), messages["success"], "accepted"),
        Figure(_("Failed for good"), sum(failed.values()), "failed"),
        Figure(_("Nobody knows"), messages["unconfirmed"], "retried"),
        Figure(_("Messages"), messages["audience"]),
    ]
    return Content(
        subject=_subject(statement, figures),
        title=name_of(statement.mailing),
        about=_about(recipient, said["mailing"]),
        figures=figures,
        tables=_reasons(failed),
        marks_title=_("Statement %(number)s") % {"number": statement.number},
        marks=[(_("Root"), said["tree"]["root"]), (_("Key"), said["key"])],
        notes=[
            _(
                "Keep this letter: whatever is shown to you of a message later can be verified "
                "against this root and this key. It proves what the sender accepted, and not that "
                "a phone rang."
            ),
            whence(recipient),
        ],
    )


def _subject(statement: Statement, figures: list[Figure]) -> str:
    accepted, failed, *_rest = figures
    words = {
        "mailing": statement.mailing,
        "accepted": accepted.shown,
        "failed": failed.shown,
        "number": statement.number,
    }
    if statement.number > 1:
        return (
            _("%(mailing)s, statement %(number)s: %(accepted)s accepted, %(failed)s failed") % words
        )
    return _("%(mailing)s is over: %(accepted)s accepted, %(failed)s failed for good") % words


def _about(recipient: Recipient, mailing: dict[str, str]) -> str:
    start, stop = (datetime.fromisoformat(mailing[name]) for name in ("start_time", "stop_time"))
    words = {
        "state": Mailing.Status(mailing["status"]).label,
        "start": format_minute(start),
        "stop": format_minute(stop),
        "zone": recipient.timezone,
    }
    return _("%(state)s. From %(start)s to %(stop)s, time zone %(zone)s.") % words


def _reasons(failed: dict[str, int]) -> list[Table]:
    by_size = sorted(failed.items(), key=lambda each: (-each[1], each[0]))
    rows = [(reason_of(code), number(count)) for code, count in by_size]
    headers = (_("Reason"), _("Messages"))
    return [Table(_("Why messages failed"), headers, rows)] if rows else []
