"""The daily letter: what was sent on one day of its reader's, and what was not."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from messages_app.ledger.accounts import FAIL, PENDING, RETRY, SUCCESS
from reports.figures import Day, MailingDay, figures_of
from reports.models import Recipient
from reports.writing import Bar, Content, Figure, Table, name_of, reason_of, whence
from toolkit.console.numbers import number

NAMED = 6  # hours between two whose names stand below the chart


def daily_letter(recipient: Recipient, day: date) -> Content:
    """Return what a recipient is told of a day, in the language that is active."""
    figures = figures_of(day, recipient.zone)
    came = figures.came
    subject = _("Mailing Manager, %(day)s: %(accepted)s accepted, %(failed)s failed for good") % {
        "day": formats.date_format(day, "SHORT_DATE_FORMAT"),
        "accepted": number(came.get(SUCCESS, 0)),
        "failed": number(came.get(FAIL, 0)),
    }
    return Content(
        subject=subject,
        title=formats.date_format(day, "l, j E Y"),
        about=_("From midnight to midnight, time zone %(zone)s.") % {"zone": recipient.timezone},
        figures=[*_outcomes(came), Figure(_("New messages"), came.get(PENDING, 0))],
        chart_title=_("By the hour"),
        bars=[_bar(at, numbers, recipient.zone) for at, numbers in figures.hours.items()],
        tables=_tables(figures),
        notes=[
            _(
                "A message counts each time that the sender accepts it, that it fails for good, "
                "and that it is put off to be tried again. Whether a phone rang, nobody here knows."
            ),
            whence(recipient),
        ],
    )


def _outcomes(came: Mapping[str, int]) -> list[Figure]:
    """Return what became of messages, in the order of a bar from its foot."""
    return [
        Figure(_("Accepted"), came.get(SUCCESS, 0), "accepted"),
        Figure(_("Put off"), came.get(RETRY, 0), "retried"),
        Figure(_("Failed for good"), came.get(FAIL, 0), "failed"),
    ]


def _bar(at: datetime, came: Mapping[str, int], zone: ZoneInfo) -> Bar:
    local = at.astimezone(zone)
    return Bar(f"{local:%H:%M}", _outcomes(came), is_named=local.hour % NAMED == 0)


def _tables(figures: Day) -> list[Table]:
    tables = [_mailings(figures)]
    if figures.reasons:
        rows = [(reason_of(code), number(count)) for code, count in figures.reasons.items()]
        tables.append(Table(_("Why messages failed"), (_("Reason"), _("Messages")), rows))
    return tables


def _mailings(figures: Day) -> Table:
    note = ""
    if not any(figures.came.values()):
        note = _("No messages were planned or sent.")
    elif figures.more:
        note = ngettext(
            "And %(number)s mailing more, with fewer messages.",
            "And %(number)s mailings more, with fewer messages.",
            figures.more,
        ) % {"number": number(figures.more)}
    headers = (
        *(_("Mailing"), _("Accepted"), _("Failed for good")),
        *(_("Accepted so far"), _("Of messages"), _("State")),
    )
    return Table(_("Mailings"), headers, [_row(each) for each in figures.mailings], note)


def _row(day: MailingDay) -> tuple[str, ...]:
    stats: Mapping[str, Any] = day.stats["stats"]
    numbers = (day.came.get(SUCCESS, 0), day.came.get(FAIL, 0), stats["success"], stats["total"])
    return (name_of(day.mailing), *map(number, numbers), day.mailing.get_status_display())
