"""The headline of a mailing: in a word and a sentence what is so now, and what would help."""

from datetime import datetime
from typing import NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mailings.admin import labels
from mailings.models import Mailing
from mailings.progress import Progress
from messages_app.admin.now import SendingNow
from messages_app.sending.control import effective_rate
from toolkit.console.numbers import about, moment, number, rate

Status = Mailing.Status


class Headline(NamedTuple):
    """What is so of a mailing: a word with Unfold's colour of a label, and a sentence.

    `tone` is "danger" where somebody should act, "warning" where nothing is sent. `help` says what
    would help, and `stop_would_do` is the stop time that would.
    """

    word: str
    colour: str
    text: str
    tone: str = ""
    help: str = ""
    stop_would_do: datetime | None = None


def headline(mailing: Mailing, progress: Progress, sending: SendingNow) -> Headline:
    """Return the headline of a mailing."""
    now = sending.now
    if _is_settled(mailing, progress, now):
        return _settled(mailing, progress, now)
    stop = _("At %(time)s what is left fails.") % {"time": moment(mailing.stop_time, now)}
    if mailing.status == Status.PAUSED:
        return Headline(
            _("Paused"),
            "warning",
            _("Nothing is sent until it is resumed. %(stop)s") % {"stop": stop},
            "warning",
        )
    if sending.hold:
        return Headline(_("Held back"), "danger", f"{sending.hold} {stop}", "danger")
    if progress.opening:
        return _before_the_window(mailing, progress, sending)
    if mailing.last_run_time is None and not progress.total:
        text = _("Its clients are being looked through. %(stop)s") % {"stop": stop}
        return Headline(_("Running"), "success", text)
    return _running(mailing, progress, sending, stop)


def _is_settled(mailing: Mailing, progress: Progress, now: datetime) -> bool:
    """Tell whether a mailing does not wait for anything to be sent: nothing holds it up."""
    return (
        mailing.is_closed
        or mailing.is_draft
        or mailing.is_over_at(now)
        or mailing.start_time > now
        or progress.is_complete
    )


def _settled(mailing: Mailing, progress: Progress, now: datetime) -> Headline:
    word, colour = str(mailing.get_status_display()), labels.COLOURS[Status(mailing.status)]
    ends = mailing.is_draft or mailing.is_over_at(now) or mailing.is_closed
    if ends or mailing.start_time > now:
        return Headline(word, colour, labels.next_event(mailing, now))
    if mailing.status == Status.PAUSED or mailing.resends_id:
        return Headline(_("Complete"), "info", _("All there is to send is sent."))
    text = _("All there is to send is sent. It waits for new clients until %(time)s.")
    return Headline(_("Complete"), "info", text % {"time": moment(mailing.stop_time, now)})


def _before_the_window(mailing: Mailing, progress: Progress, sending: SendingNow) -> Headline:
    opening = progress.opening
    if opening is None:
        raise ValueError("A window is open, or none is waited for.")
    text = _("Waiting for its hours: the first time zone, %(zone)s, opens at %(time)s.") % {
        "zone": opening.zone or _("unknown"),
        "time": moment(opening.at, sending.now),
    }
    if missing := _missing(progress):
        late = _late(mailing, progress, sending, missing)
        return late._replace(word=_("Waiting"), text=f"{text} {late.text}")
    return Headline(_("Waiting"), "info", text, "info")


def _missing(progress: Progress) -> int:
    """Return how many messages will not be sent before the stop time, as it is foreseen."""
    foreseen = progress.forecast
    return foreseen.too_late + foreseen.shut_out if foreseen else 0


def _running(mailing: Mailing, progress: Progress, sending: SendingNow, stop: str) -> Headline:
    foreseen, now = progress.forecast, sending.now
    if missing := _missing(progress):
        return _late(mailing, progress, sending, missing)
    done = ""
    if foreseen and foreseen.finishes_at:
        done = _("Done about %(time)s.") % {"time": moment(foreseen.finishes_at, now)} + " "
    return Headline(_("Running"), "success", f"{done}{stop}", help=_limit(sending))


def _late(mailing: Mailing, progress: Progress, sending: SendingNow, missing: int) -> Headline:
    """Return the headline of a mailing that will not be done at its stop time."""
    now, foreseen = sending.now, progress.forecast
    text = ngettext(
        "About %(number)s message will miss %(time)s.",
        "About %(number)s messages will miss %(time)s.",
        missing,
    ) % {"number": about(missing), "time": moment(mailing.stop_time, now)}
    helps = []
    if foreseen and foreseen.shut_out:
        helps.append(
            _("For %(number)s their hours do not come before.")
            % {"number": number(foreseen.shut_out)}
        )
    if foreseen and foreseen.rate_needed:
        needed = {"rate": rate(progress.rate), "needed": rate(foreseen.rate_needed)}
        helps.append(
            _("It goes out at %(rate)s; %(needed)s would do.") % needed
            if progress.rate
            else _("Nothing went out in the last minute; %(needed)s would do.") % needed
        )
    if stop := progress.would_do:
        helps.append(_("A stop at %(time)s would do.") % {"time": moment(stop, now)})
    return Headline(
        _("Running late"),
        "danger",
        text,
        "danger",
        " ".join([*helps, _limit(sending)]).strip(),
        stop,
    )


def _limit(sending: SendingNow) -> str:
    """Return in words the limit of all sending; empty if there is none."""
    limit = effective_rate(sending.control)
    return _("All sending is limited to %(rate)s.") % {"rate": rate(limit)} if limit else ""
