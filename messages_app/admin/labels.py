"""Messages and sending control in words, for the pages of the console."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.template.defaultfilters import pluralize
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from messages_app.models import TRANSIENT, Attempt, ErrorCode, Message, SendingControl
from messages_app.sending.control import effective_rate, is_held_back
from messages_app.sending.health import BreakerState, ComponentHealth, breaker
from toolkit.console.labels import format_second, label

Status = Message.Status

COLOURS = {Status.PENDING: "", Status.SUCCESS: "success", Status.FAIL: "danger"}
UNSENT = {
    ErrorCode.EXPIRED: "the stop time came first.",
    ErrorCode.OUT_OF_WINDOW: "until the stop time, the client's own local time left no hours "
    "that the mailing may be sent in.",
    ErrorCode.NOT_MATCHED: "the client no longer matched the mailing's filters when its turn came.",
    ErrorCode.CANCELLED: "the mailing was cancelled first.",
}
UNKNOWN = (
    "Nobody knows whether it arrived, so it is not sent again by itself. Find out, then say that "
    "it arrived, or send it again while its mailing runs."
)
EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001  # any moment: `timesince` takes two
PARTS = {"beat": "The clock", "start_mailing": "Planning", "send_message": "Sending"}


def status_label(message: Message) -> SafeString:
    """Return the status as a coloured label."""
    return label(message.get_status_display(), COLOURS[Status(message.status)])


def describe(message: Message, now: datetime) -> str:
    """Return in words what became of a message and what comes next."""
    if message.status == Status.SUCCESS:
        return f"Sent at {format_second(message.sent_at)}."
    if message.lease_until and message.lease_until > now:
        return "On its way to the sender."
    if message.next_attempt_at:
        return f"{_so_far(message)} {_due(message.next_attempt_at, now)}"
    return _end(message)


def _so_far(message: Message) -> str:
    if message.status == Status.PENDING:
        return f"Not sent yet. {message.error}".rstrip()
    if message.error_code == ErrorCode.UNCONFIRMED:
        return f"Nobody knows whether the last attempt arrived. {message.error}".rstrip()
    return f"The last attempt failed. {message.error}".rstrip()


def _due(at: datetime, now: datetime) -> str:
    if at < now:
        return f"It has been due since {format_second(at)}."
    return f"It is due at {format_second(at)}."


def _end(message: Message) -> str:
    """Return in words why a message is not retried."""
    code, why = message.error_code, message.error
    if code == ErrorCode.UNCONFIRMED:
        return f"{UNKNOWN} {why}".rstrip()
    if code in UNSENT:
        return f"Never sent: {UNSENT[ErrorCode(code)]}"
    if code in TRANSIENT:
        return f"The last attempt failed, and the time was up before another. {why}".rstrip()
    return f"Failed for good. {why}".rstrip()


def outcome_label(attempt: Attempt) -> SafeString:
    """Return the result of an attempt as a coloured label."""
    if not attempt.error_code:
        return label("accepted", "success")
    colour = "warning" if attempt.is_unclear else "danger"
    return label(attempt.error_code.replace("_", " "), colour)


def attempt_table(attempts: Iterable[Attempt]) -> dict[str, list[Any]]:
    """Return the log of attempts as a table."""
    return {
        "headers": ["No.", "Began", "Took", "Outcome", "HTTP", "In words"],
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


def troubles(control: SendingControl, signs: list[ComponentHealth], now: datetime) -> Iterator[str]:
    """Yield a sentence for each thing that keeps messages from being sent."""
    if control.is_paused:
        yield "Sending is paused: nothing goes out until somebody takes the pause back."
    if is_held_back(control, now):
        yield (
            "Nothing is sent: this database is a copy, and its original is at work, or was until "
            "a moment ago. Sending goes on by itself once it is not."
        )
    if control.opened_at:
        yield (
            f"The sender has taken no messages since {format_second(control.opened_at)}. "
            f"{next_try(control, now)} The reason: {control.reason}"
        )
    for sign in signs:
        if sign.is_missing and sign.age:
            yield f"{PARTS[sign.name]} has had no heartbeat for {ago(sign.age)}."


def restored(at: datetime | None) -> Iterator[str]:
    """Yield a sentence if the database was found to be a copy, or restored."""
    if at:
        yield (
            f"At {format_second(at)} this database was found to be a copy, or restored. If its "
            "original still runs, stop one of the two; otherwise there is nothing to do."
        )


def breaker_state(control: SendingControl, now: datetime) -> str:
    """Return in words whether the breaker is open, and when it lets a probe through."""
    if breaker(control, now) == BreakerState.CLOSED:
        return "The sender takes messages, as far as is known."
    return f"The breaker is open. {next_try(control, now)}"


def next_try(control: SendingControl, now: datetime) -> str:
    """Return in words when an open breaker lets the next probe through."""
    if breaker(control, now) == BreakerState.OPEN:
        return f"The next try is at {format_second(control.probe_at)}."
    return "The next message that is due is the next try."


def failures(control: SendingControl) -> str:
    """Return in words how many attempts failed in a row; "" if none did."""
    number = control.failures
    return f"{number} failed attempt{pluralize(number)} in a row." if number else ""


def kept_rate(control: SendingControl) -> str:
    """Return in words how many messages a second may be sent."""
    limit = effective_rate(control)
    if not limit:
        return "as fast as the sender takes them"
    return f"at most {limit:,g} a second: the lower one of MESSAGE_SENDER_RATE and the limit below"


def health_labels(signs: Iterable[ComponentHealth]) -> list[dict[str, str]]:
    """Return the health of components as names and coloured labels."""
    return [{"part": PARTS[sign.name], "label": _health_label(sign)} for sign in signs]


def _health_label(sign: ComponentHealth) -> SafeString:
    if sign.age is None:
        return label("no heartbeat yet", "warning")
    if sign.is_missing:
        return label(f"no heartbeat for {ago(sign.age)}", "danger")
    return label(f"alive {ago(sign.age)} ago", "success")


def ago(age: timedelta) -> str:
    """Return a duration in words, rounded down to one unit."""
    if age < timedelta(minutes=1):
        return f"{age.seconds} s"
    return timesince(EPOCH, EPOCH + age, depth=1).replace("\N{NO-BREAK SPACE}", " ")
