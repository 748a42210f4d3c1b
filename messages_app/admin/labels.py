"""Messages and sending control in words, for the pages of the console."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from messages_app.models import TRANSIENT, Attempt, ErrorCode, Message, SendingControl
from messages_app.sending.control import effective_rate, is_held_back
from messages_app.sending.health import BreakerState, ComponentHealth, breaker
from toolkit.console.labels import format_number, format_second, label, since

Status = Message.Status

COLOURS = {Status.PENDING: "", Status.SUCCESS: "success", Status.FAIL: "danger"}
UNSENT = {
    ErrorCode.EXPIRED: _("the stop time came first."),
    ErrorCode.OUT_OF_WINDOW: _(
        "until the stop time, the client's own local time left no hours that the mailing may be "
        "sent in."
    ),
    ErrorCode.NOT_MATCHED: _(
        "the client no longer matched the mailing's filters when its turn came."
    ),
    ErrorCode.CANCELLED: _("the mailing was cancelled first."),
}
UNKNOWN = _(
    "Nobody knows whether it arrived, so it is not sent again by itself. Find out, then say that "
    "it arrived, or send it again while its mailing runs."
)
EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001  # any moment: `timesince` takes two


def status_label(message: Message) -> SafeString:
    """Return the status as a coloured label."""
    return label(message.get_status_display(), COLOURS[Status(message.status)])


def describe(message: Message, now: datetime) -> str:
    """Return in words what became of a message and what comes next."""
    if message.status == Status.SUCCESS:
        return gettext("Sent at %(time)s.") % {"time": format_second(message.sent_at)}
    if message.lease_until and message.lease_until > now:
        return gettext("On its way to the sender.")
    if message.next_attempt_at:
        return f"{_so_far(message)} {_due(message.next_attempt_at, now)}"
    return _end(message)


def _so_far(message: Message) -> str:
    if message.status == Status.PENDING:
        return _with_why(gettext("Not sent yet."), message)
    if message.error_code == ErrorCode.UNCONFIRMED:
        return _with_why(gettext("Nobody knows whether the last attempt arrived."), message)
    return _with_why(gettext("The last attempt failed."), message)


def _due(at: datetime, now: datetime) -> str:
    if at < now:
        return gettext("It has been due since %(time)s.") % {"time": format_second(at)}
    return gettext("It is due at %(time)s.") % {"time": format_second(at)}


def _end(message: Message) -> str:
    """Return in words why a message is not retried."""
    code = message.error_code
    if code == ErrorCode.UNCONFIRMED:
        return _with_why(str(UNKNOWN), message)
    if code in UNSENT:
        return gettext("Never sent: %(why)s") % {"why": UNSENT[ErrorCode(code)]}
    if code in TRANSIENT:
        up = gettext("The last attempt failed, and the time was up before another.")
        return _with_why(up, message)
    return _with_why(gettext("Failed for good."), message)


def _with_why(text: str, message: Message) -> str:
    """Return a sentence and the message's error; our own words for it in the reader's language."""
    why, code = message.error, message.error_code
    if code in ErrorCode.values and why == ErrorCode(code).stored:
        why = f"{ErrorCode(code).label}."
    return f"{text} {why}".rstrip()


def outcome_label(attempt: Attempt) -> SafeString:
    """Return the result of an attempt as a coloured label."""
    if not attempt.error_code:
        return label(gettext("accepted"), "success")
    colour = "warning" if attempt.is_unclear else "danger"
    return label(attempt.error_code.replace("_", " "), colour)


def attempt_table(attempts: Iterable[Attempt]) -> dict[str, list[Any]]:
    """Return the log of attempts as a table."""
    return {
        "headers": [
            gettext("No."),
            gettext("Began"),
            gettext("Took"),
            gettext("Outcome"),
            "HTTP",
            gettext("In words"),
        ],
        "rows": [
            [
                attempt.number,
                format_second(attempt.began_at),
                duration(attempt.seconds),
                outcome_label(attempt),
                attempt.http_status or "–",
                attempt.error or "–",
            ]
            for attempt in attempts
        ],
    }


def duration(seconds: float | None) -> str:
    """Return in words how long a request took, given in seconds."""
    if seconds is None:
        return "–"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def stopped(control: SendingControl, now: datetime) -> str:
    """Return in words who stopped all sending, and since when; "" if nobody did."""
    if not control.is_paused:
        return ""
    who, at = control.paused_by, control.paused_at
    told = {"who": who, "since": since(at, now) if at else ""}
    if who and at:
        return gettext("Sending is stopped by %(who)s since %(since)s") % told
    if at:
        return gettext("Sending is stopped since %(since)s") % told
    return gettext("Sending is stopped")


def troubles(control: SendingControl, signs: list[ComponentHealth], now: datetime) -> Iterator[str]:
    """Yield a sentence for each thing that keeps messages from being sent, but for the stop."""
    for _name, sentence in named_troubles(control, signs, now):
        yield sentence


def named_troubles(
    control: SendingControl, signs: list[ComponentHealth], now: datetime
) -> Iterator[tuple[str, str]]:
    """Yield the same, each with a name: `held`, `breaker`, or that of the part that is missing."""
    if is_held_back(control, now):
        copy = gettext(
            "Nothing is sent: this database is a copy, and its original is at work, or was until "
            "a moment ago. Sending goes on by itself once it is not."
        )
        yield "held", copy
    if control.opened_at:
        told = {
            "since": format_second(control.opened_at),
            "next": next_try(control, now),
            "reason": control.reason,
        }
        since_then = gettext(
            "The sender has taken no messages since %(since)s. %(next)s The reason: %(reason)s"
        )
        yield "breaker", since_then % told
    for sign in signs:
        if sign.is_missing and sign.age:
            missing = {"part": sign.title, "time": ago(sign.age)}
            yield sign.name, gettext("%(part)s has had no heartbeat for %(time)s.") % missing


def restored(at: datetime | None) -> Iterator[str]:
    """Yield a sentence if the database was found to be a copy, or restored."""
    if at:
        found = gettext(
            "At %(time)s this database was found to be a copy, or restored. If its original still "
            "runs, stop one of the two; otherwise there is nothing to do."
        )
        yield found % {"time": format_second(at)}


def breaker_state(control: SendingControl, now: datetime) -> str:
    """Return in words whether the breaker is open, and when it lets a probe through."""
    if breaker(control, now) == BreakerState.CLOSED:
        return gettext("The sender takes messages, as far as is known.")
    return gettext("The breaker is open. %(next)s") % {"next": next_try(control, now)}


def next_try(control: SendingControl, now: datetime) -> str:
    """Return in words when an open breaker lets the next probe through."""
    if breaker(control, now) == BreakerState.OPEN:
        return gettext("The next try is at %(time)s.") % {"time": format_second(control.probe_at)}
    return gettext("The next message that is due is the next try.")


def failures(control: SendingControl) -> str:
    """Return in words how many attempts failed in a row; "" if none did."""
    number = control.failures
    if not number:
        return ""
    text = ngettext(
        "%(number)s failed attempt in a row.", "%(number)s failed attempts in a row.", number
    )
    return text % {"number": format_number(number)}


def kept_rate(control: SendingControl) -> str:
    """Return in words how many messages a second may be sent."""
    limit = effective_rate(control)
    if not limit:
        return gettext("as fast as the sender takes them")
    at_most = gettext(
        "at most %(limit)s a second: the lower one of MESSAGE_SENDER_RATE and the limit below"
    )
    shown = int(limit) if limit == int(limit) else round(limit, 2)
    return at_most % {"limit": format_number(shown)}


def health_labels(signs: Iterable[ComponentHealth]) -> list[dict[str, str]]:
    """Return the health of components as names and coloured labels."""
    return [{"part": sign.title, "label": _health_label(sign)} for sign in signs]


def _health_label(sign: ComponentHealth) -> SafeString:
    if sign.age is None:
        return label(gettext("no heartbeat yet"), "warning")
    if sign.is_missing:
        return label(gettext("no heartbeat for %(time)s") % {"time": ago(sign.age)}, "danger")
    return label(gettext("alive %(time)s ago") % {"time": ago(sign.age)}, "success")


def ago(age: timedelta) -> str:
    """Return a duration in words, rounded down to one unit."""
    if age < timedelta(minutes=1):
        return gettext("%(seconds)d s") % {"seconds": age.seconds}
    return timesince(EPOCH, EPOCH + age, depth=1).replace("\N{NO-BREAK SPACE}", " ")
