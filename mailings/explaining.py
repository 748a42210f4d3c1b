"""Explaining: why a client got a mailing, will get it, or will not, rule by rule."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.db.models import TextChoices
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from clients.audience import NAMES, as_lists
from clients.models import Client
from mailings.models import Mailing
from messages_app.models import Attempt, Message, SendingControl, Withdrawal
from messages_app.sending import health
from messages_app.sending.control import is_held_back
from toolkit.console.labels import format_number, format_second, zone_name
from toolkit.sending_hours import next_opening

ATTEMPTS_SHOWN = 100
# Rules that somebody, or the sender, has to mend; time alone does not.
HOLDING = {
    *("launched", "mailing_not_paused"),
    *("sending_not_paused", "sending_not_held", "breaker_closed"),
}
VALUES_NAMED = 5  # of a filter, in a sentence


class Verdict(TextChoices):
    """What has become of it, or will as things stand now."""

    SENT = "sent", gettext_lazy("The sender accepted the message")
    FAILED = "failed", gettext_lazy("The message has failed and is not tried again")
    IN_FLIGHT = "in_flight", gettext_lazy("The message is on its way to the sender now")
    WILL_BE_SENT = "will_be_sent", gettext_lazy("It is sent as soon as its turn comes")
    HELD = "held", gettext_lazy("It is sent once somebody, or the sender, lets it go on")
    WILL_NOT_BE_SENT = "will_not_be_sent", gettext_lazy("As things stand, it is never sent")


class Rule(NamedTuple):
    """A condition of being sent to, whether it holds now, and what is the case, in a sentence."""

    rule: str
    holds: bool
    detail: str


@dataclass(frozen=True)
class Explanation:
    """Why a client got a mailing, will get it, or will not.

    `next` is when it is sent at the earliest, as far as that is known; None where it is over, is
    not sent, or waits for somebody.
    """

    verdict: Verdict
    rules: list[Rule]
    message: Message | None
    attempts: list[Attempt]
    next: datetime | None


@dataclass(frozen=True)
class Case:
    """A mailing and a client, with what is known of them at one moment."""

    mailing: Mailing
    client: Client
    message: Message | None
    control: SendingControl
    now: datetime

    @property
    def is_manual(self) -> bool:
        """Whether the client was added by hand, whatever the filters say."""
        return bool(self.message and self.message.is_manual)

    @property
    def opens_at(self) -> datetime:
        """When the client may be sent to at the earliest, by every clock that counts."""
        moments = [self.now, self.mailing.start_time]
        if self.message and self.message.next_attempt_at:
            moments.append(self.message.next_attempt_at)
        window, at = self.mailing.window, max(moments)
        return next_opening(window, str(self.client.timezone), at) if window else at


def explain(mailing: Mailing, client: Client, *, now: datetime) -> Explanation:
    """Say why a client got a mailing, will get it, or will not, as things stand now."""
    message = Message.objects.with_sender_id().filter(mailing=mailing, client=client).first()
    case = Case(mailing, client, message, SendingControl.objects.current(), now)
    lasting, passing = list(_lasting(case)), list(_passing(case))
    verdict = _verdict(case, lasting, passing)
    attempts = message.attempt_log.order_by("-number")[:ATTEMPTS_SHOWN] if message else ()
    is_known = verdict == Verdict.WILL_BE_SENT
    return Explanation(
        verdict,
        [*lasting, *passing],
        message,
        list(attempts)[::-1],
        case.opens_at if is_known else None,
    )


def _verdict(case: Case, lasting: list[Rule], passing: list[Rule]) -> Verdict:
    message = case.message
    if message and message.status == Message.Status.SUCCESS:
        return Verdict.SENT
    if message and message.lease_until:
        return Verdict.IN_FLIGHT
    if message and message.next_attempt_at is None:
        return Verdict.FAILED
    if not all(rule.holds for rule in lasting):
        return Verdict.WILL_NOT_BE_SENT
    is_held = any(rule.rule in HOLDING and not rule.holds for rule in passing)
    return Verdict.HELD if is_held else Verdict.WILL_BE_SENT


def _lasting(case: Case) -> Iterator[Rule]:
    """Yield the rules that nothing mends but an edit, or somebody's decision."""
    yield from _filter_rules(case)
    mailing, client, now = case.mailing, case.client, case.now
    if mailing.resends_id:
        yield _resent(case)
    is_withdrawn = Withdrawal.objects.filter(mailing=mailing, client=client).exists()
    yield Rule(
        "not_withdrawn",
        not is_withdrawn,
        _("A message to this client was withdrawn from the mailing.")
        if is_withdrawn
        else _("Nobody has withdrawn this client from the mailing."),
    )
    if case.message is None:
        yield _number_is_new(case)
    yield _in_time(mailing, now)
    is_early = case.opens_at < mailing.stop_time
    times = {"earliest": _at(case.opens_at), "stop": _at(mailing.stop_time)}
    detail = _("The earliest moment is %(earliest)s, the stop time %(stop)s.") % times
    yield Rule("time_left", is_early, detail)


def _filter_rules(case: Case) -> Iterator[Rule]:
    """Yield one rule for each key of the filters."""
    for key, values in as_lists(case.mailing.filters).items():
        value = str(getattr(case.client, key))
        detail = _("The client's %(field)s is %(value)s; the filters ask for %(values)s.") % {
            "field": NAMES[key],
            "value": repr(value),
            "values": _any_of(values),
        }
        if case.is_manual:
            by_hand = _("The client was added by hand, so that this does not count.")
            detail = f"{detail} {by_hand}"
        yield Rule(key, value in values or case.is_manual, detail)


def _any_of(values: Sequence[str]) -> str:
    """Return the first values of a filter, and how many others there are."""
    named = _(" or ").join(repr(each) for each in values[:VALUES_NAMED])
    more = len(values) - VALUES_NAMED
    if more <= 0:
        return named
    text = ngettext(
        "%(values)s or %(number)s other", "%(values)s or one of %(number)s others", more
    )
    return text % {"values": named, "number": format_number(more)}


def _resent(case: Case) -> Rule:
    """Return whether the client's message of the mailing that is sent again has failed."""
    original = case.mailing.resends_id
    codes = case.mailing.resent_codes
    failed = Message.objects.failed_for_good(codes).filter(mailing=original, client=case.client)
    is_among = failed.exists() or case.message is not None
    detail = (
        _("The client's message has failed in mailing %(id)s.")
        if is_among
        else _("The client's message has not failed, or for another reason, in mailing %(id)s.")
    )
    return Rule("failed_before", is_among, detail % {"id": original})


def _number_is_new(case: Case) -> Rule:
    """Return whether nobody who is deleted had this number when the mailing was sent to them."""
    former = Message.objects.filter(
        mailing=case.mailing, client__isnull=True, phone_number=case.client.phone_number
    )
    is_known = former.exists()
    return Rule(
        "number_not_reached_before",
        not is_known,
        _("A client who had this number and was deleted since has a message of this mailing.")
        if is_known
        else _("No client who was deleted since had this number in this mailing."),
    )


def _in_time(mailing: Mailing, now: datetime) -> Rule:
    if mailing.is_ended:
        status = mailing.get_status_display().lower()
        return Rule("not_over", False, _("The mailing is %(status)s.") % {"status": status})
    is_over = mailing.is_over_at(now)
    detail = _("The stop time was %(time)s.") if is_over else _("The stop time is %(time)s.")
    return Rule("not_over", not is_over, detail % {"time": _at(mailing.stop_time)})


def _passing(case: Case) -> Iterator[Rule]:
    """Yield the rules that time mends, or whoever resumes what is paused."""
    for rule in RULES:
        yield rule(case)


def _launched(case: Case) -> Rule:
    is_draft = case.mailing.is_draft
    draft = _("The mailing is a draft until it is launched.")
    detail = draft if is_draft else _("It was launched.")
    return Rule("launched", not is_draft, detail)


def _planned(case: Case) -> Rule:
    if case.message:
        made = {"time": _at(case.message.created_at)}
        return Rule("planned", True, _("The message was made %(time)s.") % made)
    until = _("There is no message until the clients are looked through.")
    last = case.mailing.last_run_time
    looked = (
        _("They were last looked through %(time)s.") % {"time": _at(last)}
        if last
        else _("They were not yet.")
    )
    return Rule("planned", False, f"{until} {looked}")


def _started(case: Case) -> Rule:
    mailing = case.mailing
    waits = mailing.status in (Mailing.Status.DRAFT, Mailing.Status.SCHEDULED)
    has_started = mailing.start_time <= case.now and not waits
    start = _("The start time is %(time)s.") % {"time": _at(mailing.start_time)}
    return Rule("started", has_started, start)


def _not_paused(case: Case) -> Rule:
    is_paused = case.mailing.status == Mailing.Status.PAUSED
    paused = _("The mailing is paused until it is resumed.")
    detail = paused if is_paused else _("It is not paused.")
    return Rule("mailing_not_paused", not is_paused, detail)


def _in_window(case: Case) -> Rule:
    window, zone = case.mailing.window, str(case.client.timezone)
    if window is None:
        return Rule("window_open", True, _("The mailing is sent at any hour."))
    opening = next_opening(window, zone, case.now)
    is_open = opening <= case.now
    detail = (
        _("It is sent from %(start)s to %(end)s in %(zone)s.")
        if is_open
        else _("It is sent from %(start)s to %(end)s in %(zone)s, next %(time)s.")
    )
    hours = {"start": f"{window.start:%H:%M}", "end": f"{window.end:%H:%M}", "zone": zone}
    return Rule("window_open", is_open, detail % {**hours, "time": _at(opening)})


def _due(case: Case) -> Rule:
    message = case.message
    if message is None or message.next_attempt_at is None:
        return Rule("due", message is None, _("Nothing is to be tried again."))
    is_due = message.next_attempt_at <= case.now
    detail = (
        _("The message has been due since %(time)s.")
        if is_due
        else _("The message is due %(time)s.")
    )
    return Rule("due", is_due, detail % {"time": _at(message.next_attempt_at)})


def _sending_goes_on(case: Case) -> Rule:
    is_paused = case.control.is_paused
    detail = _("All sending is paused.") if is_paused else _("Sending is not paused.")
    return Rule("sending_not_paused", not is_paused, detail)


def _not_held(case: Case) -> Rule:
    is_held = is_held_back(case.control, case.now)
    detail = (
        _("Until %(time)s nothing is sent: this database may be a copy.")
        % {"time": _at(case.control.held_until)}
        if is_held and case.control.held_until
        else _("The database holds nothing back.")
    )
    return Rule("sending_not_held", not is_held, detail)


def _breaker_closed(case: Case) -> Rule:
    is_closed = health.breaker(case.control, case.now) == health.BreakerState.CLOSED
    why = case.control.reason or _("the sender refuses messages")
    detail = (
        _("The sender takes messages.")
        if is_closed
        else _("The breaker is open: %(why)s.") % {"why": why}
    )
    return Rule("breaker_closed", is_closed, detail)


RULES: tuple[Callable[[Case], Rule], ...] = (
    *(_launched, _planned, _started, _not_paused, _in_window, _due),
    *(_sending_goes_on, _not_held, _breaker_closed),
)


def _at(moment: datetime) -> str:
    """Return a time with its zone: that of who reads, in REST always UTC."""
    return f"{format_second(moment)} {zone_name()}"
