"""The preview: what a mailing would come to, before it is saved or launched."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Q, Sum

from clients.sizing import Audience, audience_of
from mailings.forecast import Forecast, forecast
from mailings.models import Mailing
from messages_app.ledger.accounts import PENDING, RETRY
from messages_app.models import Balance, Message, SendingControl
from messages_app.sending import control, health
from messages_app.sending.pace import Pace, Source, pace
from toolkit.text_parts import UCS_2, TextParts, text_parts

LATELY = timedelta(days=7)  # within which the same text is worth a warning
COMPARED = 1_000  # newest mailings that are looked at for that
A_DAY = timedelta(days=1)


class Caution(NamedTuple):
    """Something that an operator would want to know before a mailing is sent."""

    code: str
    detail: str


class Preview(NamedTuple):
    """What a mailing would come to.

    `text` is None where none was given. `ahead` are the messages of other running mailings that
    are waiting; `written_lately` is how many of its clients were sent something within a day.
    """

    audience: Audience
    text: TextParts | None
    forecast: Forecast
    pace: Pace
    ahead: int
    written_lately: int
    cautions: list[Caution]


def preview(mailing: Mailing, *, now: datetime) -> Preview:
    """Return what a mailing that is not saved would come to; it may lack its times and its text."""
    audience = audience_of(mailing.filters)
    row = SendingControl.objects.current()
    speed, ahead = pace(row, now=now), _waiting_elsewhere(now)
    expected = forecast(
        audience.by("timezone"),
        window=mailing.window,
        begins_at=max(mailing.start_time or now, now),
        stops_at=mailing.stop_time,
        rate=speed.rate,
        ahead=ahead,
    )
    parts = text_parts(mailing.text) if mailing.text else None
    lately = _written_lately(audience, now)
    found = Preview(audience, parts, expected, speed, ahead, lately, [])
    found.cautions.extend(_of_audience(mailing, found))
    found.cautions.extend(_of_text(mailing, found, now))
    found.cautions.extend(_of_time(mailing, found, now))
    found.cautions.extend(_of_sender(row, found, now))
    return found


def _waiting_elsewhere(now: datetime) -> int:
    """Return how many messages of running mailings wait, by the folded ledger."""
    states = Q(account__startswith=f"{PENDING}|") | Q(account__startswith=f"{RETRY}|")
    running = Mailing.objects.running(now).order_by().values("pk")
    waiting = Balance.objects.filter(states, mailing_id__in=running)
    number: int = waiting.aggregate(sum=Sum("number", default=0))["sum"]
    return max(0, number)


def _written_lately(audience: Audience, now: datetime) -> int:
    """Return how many of the clients were sent something within a day, as some of them show."""
    if not audience.some:
        return 0
    sent = Message.objects.filter(client__in=audience.some, sent_at__gte=now - A_DAY)
    number = sent.order_by().values("client").distinct().count()
    return round(number * audience.total / len(audience.some))


def _of_audience(mailing: Mailing, found: Preview) -> Iterator[Caution]:
    total = found.audience.total
    if not total:
        yield Caution("nobody_matches", "The filters select nobody now.")
    elif not mailing.filters or (
        total == found.audience.everyone and not found.audience.is_estimate
    ):
        yield Caution("everyone_matches", f"It goes to everyone: {total:,} clients.")
    if found.written_lately:
        yield Caution(
            "written_to_lately",
            f"{found.written_lately:,} of them were sent another message in the last 24 hours.",
        )


def _of_text(mailing: Mailing, found: Preview, now: datetime) -> Iterator[Caution]:
    if same := _same_text(mailing, now):
        yield Caution(
            "same_text",
            f"Mailing {same} has had the same text in the last {LATELY.days} days, or will have.",
        )
    text = found.text
    if text and text.encoding == UCS_2 and text.parts_without < text.parts:
        named = " ".join(text.forcing[:10])
        yield Caution(
            "costly_characters",
            f"{text.parts} parts instead of {text.parts_without}, because of characters that "
            f"GSM-7 does not have: {named}",
        )


def _same_text(mailing: Mailing, now: datetime) -> int | None:
    """Return a mailing, of the newest ones, that has the same text and is of these days."""
    newest = Mailing.objects.order_by("-pk").values("pk")[:COMPARED]
    same = Mailing.objects.filter(pk__in=newest, text=mailing.text, start_time__gte=now - LATELY)
    sent = same.exclude(status__in=(Mailing.Status.DRAFT, Mailing.Status.CANCELLED))
    return sent.order_by("-pk").values_list("pk", flat=True).first() if mailing.text else None


def _of_time(mailing: Mailing, found: Preview, now: datetime) -> Iterator[Caution]:
    expected = found.forecast
    if mailing.stop_time and mailing.stop_time <= now:
        yield Caution("stop_time_passed", "The stop time has passed; nothing would be sent.")
        return
    if mailing.start_time and mailing.start_time < now:
        yield Caution("starts_at_once", "The start time has passed; sending would begin at once.")
    if expected.shut_out:
        yield Caution(
            "window_never_opens",
            f"For {expected.shut_out:,} clients the window is not open once before the stop time, "
            "by their own local time.",
        )
    if expected.too_late:
        needed = expected.rate_needed
        rate = f" {needed:,.2f} messages a second would do." if needed else ""
        yield Caution(
            "stop_time_too_early",
            f"{expected.too_late:,} are not sent to before the stop time, at "
            f"{found.pace.rate:,.2f} messages a second.{rate}",
        )


def _of_sender(row: SendingControl, found: Preview, now: datetime) -> Iterator[Caution]:
    if row.is_paused:
        yield Caution(
            "sending_paused", "All sending is paused; the forecast is from when it goes on."
        )
    if control.is_held_back(row, now):
        yield Caution("sending_held", "This database is a copy that waits for its original.")
    if row.opened_at:
        yield Caution(
            "breaker_open", f"The sender takes nothing at the moment. {row.reason}".strip()
        )
    missing = [sign.name for sign in health.component_health(now) if sign.is_missing]
    if missing:
        yield Caution("workers_missing", f"Not seen for minutes: {', '.join(missing)}.")
    if found.pace.source == Source.ASSUMED:
        yield Caution("rate_assumed", f"{Source.ASSUMED.label}.")
    if found.ahead:
        yield Caution(
            "sender_shared",
            f"{found.ahead:,} messages of mailings that are running wait already; the forecast has "
            "them go first.",
        )
