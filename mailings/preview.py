"""The preview: what a mailing would come to, before it is saved or launched."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Q, Sum
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from clients.sizing import Audience
from mailings.forecast import Forecast, forecast
from mailings.models import Mailing
from mailings.reach import audience_of_mailing
from messages_app.ledger.accounts import PENDING, RETRY
from messages_app.models import Balance, Message, SendingControl
from messages_app.sending import control, health
from messages_app.sending.pace import Pace, Source, pace
from toolkit.text_parts import TextParts, text_parts

LATELY = timedelta(days=7)  # within which the same text is worth a warning
COMPARED = 1_000  # newest mailings that are looked at for that
A_DAY = timedelta(days=1)
FEW = 10  # characters that GSM-7 does not have; of more, the text is in another alphabet


class Caution(NamedTuple):
    """Something that an operator would want to know before a mailing is sent."""

    code: str
    detail: str


class Preview(NamedTuple):
    """What a mailing would come to.

    `text` is None where none was given. `ahead` are the messages of other running mailings that
    are waiting; `written_lately` is how many of its clients were sent something within a day.
    `stop_needed` is the stop time that would do, where the given one is too early.
    """

    audience: Audience
    text: TextParts | None
    forecast: Forecast
    pace: Pace
    ahead: int
    written_lately: int
    stop_needed: datetime | None
    cautions: list[Caution]


def preview(mailing: Mailing, *, now: datetime) -> Preview:
    """Return what a mailing that is not launched would come to; it may lack its times and text."""
    audience = audience_of_mailing(mailing)
    row = SendingControl.objects.current()
    speed, ahead = pace(row, now=now), _waiting_elsewhere(now)

    def expect(stops_at: datetime | None) -> Forecast:
        return forecast(
            audience.by("timezone"),
            window=mailing.window,
            begins_at=max(mailing.start_time or now, now),
            stops_at=stops_at,
            rate=speed.rate,
            ahead=ahead,
        )

    expected = expect(mailing.stop_time)
    stop_needed = expect(None).finishes_at if expected.too_late else None
    parts = text_parts(mailing.text) if mailing.text else None
    lately = _written_lately(audience, now)
    found = Preview(audience, parts, expected, speed, ahead, lately, stop_needed, [])
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
        yield Caution("nobody_matches", _("The filters select nobody now."))
    elif is_everyone(mailing, found.audience):
        detail = _("It goes to everyone: %(clients)s clients.") % {"clients": _number(total)}
        yield Caution("everyone_matches", detail)
    if lately := found.written_lately:
        detail = ngettext(
            "%(clients)s of them was sent another message in the last 24 hours.",
            "%(clients)s of them were sent another message in the last 24 hours.",
            lately,
        )
        yield Caution("written_to_lately", detail % {"clients": _number(lately)})


def is_everyone(mailing: Mailing, audience: Audience) -> bool:
    """Tell whether a mailing goes to all clients that there are."""
    if mailing.resends_id:
        return False
    is_counted = not audience.is_estimate
    return not mailing.filters or (is_counted and audience.total == audience.everyone)


def _of_text(mailing: Mailing, found: Preview, now: datetime) -> Iterator[Caution]:
    if same := _same_text(mailing, now):
        detail = _(
            "Mailing %(mailing)s has had the same text in the last %(days)s days, or will have."
        )
        yield Caution("same_text", detail % {"mailing": same, "days": LATELY.days})
    text = found.text
    if text and 0 < len(text.forcing) <= FEW and text.parts_without < text.parts:
        detail = _(
            "%(parts)s parts instead of %(fewer)s, because of characters that GSM-7 does not have: "
            "%(characters)s"
        )
        named = " ".join(text.forcing)
        values = {"parts": text.parts, "fewer": text.parts_without, "characters": named}
        yield Caution("costly_characters", detail % values)


def _same_text(mailing: Mailing, now: datetime) -> int | None:
    """Return a mailing, of the newest ones, that has the same text and is of these days."""
    newest = Mailing.objects.order_by("-pk").values("pk")[:COMPARED]
    same = Mailing.objects.filter(pk__in=newest, text=mailing.text, start_time__gte=now - LATELY)
    sent = same.exclude(status__in=(Mailing.Status.DRAFT, Mailing.Status.CANCELLED))
    return sent.order_by("-pk").values_list("pk", flat=True).first() if mailing.text else None


def _of_time(mailing: Mailing, found: Preview, now: datetime) -> Iterator[Caution]:
    expected = found.forecast
    if mailing.stop_time and mailing.stop_time <= now:
        yield Caution("stop_time_passed", _("The stop time has passed; nothing would be sent."))
        return
    if mailing.start_time and mailing.start_time < now:
        yield Caution(
            "starts_at_once", _("The start time has passed; sending would begin at once.")
        )
    if expected.shut_out:
        detail = _(
            "For %(clients)s clients the window is not open once before the stop time, by their "
            "own local time."
        )
        yield Caution("window_never_opens", detail % {"clients": _number(expected.shut_out)})
    if expected.too_late:
        yield Caution("stop_time_too_early", _too_early(found))


def _too_early(found: Preview) -> str:
    needed = found.forecast.rate_needed
    detail = _(
        "%(clients)s are not sent to before the stop time, at %(rate)s messages a second."
    ) % {"clients": _number(found.forecast.too_late), "rate": _number(found.pace.rate, 2)}
    if not needed:
        return detail
    do = _("%(rate)s messages a second would do.") % {"rate": _number(needed, 2)}
    return f"{detail} {do}"


def _of_sender(row: SendingControl, found: Preview, now: datetime) -> Iterator[Caution]:
    if row.is_paused:
        yield Caution(
            "sending_paused", _("All sending is paused; the forecast is from when it goes on.")
        )
    if control.is_held_back(row, now):
        yield Caution("sending_held", _("This database is a copy that waits for its original."))
    if row.opened_at:
        taken = _("The sender takes nothing at the moment.")
        yield Caution("breaker_open", f"{taken} {row.reason}".strip())
    missing = [sign.title.lower() for sign in health.component_health(now) if sign.is_missing]
    if missing:
        detail = _("For minutes there was no sign of life of: %(parts)s.")
        yield Caution("workers_missing", detail % {"parts": ", ".join(missing)})
    if found.pace.source == Source.ASSUMED:
        yield Caution("rate_assumed", f"{Source.ASSUMED.label}.")
    if found.ahead:
        detail = _(
            "%(messages)s messages of mailings that are running wait already; the forecast has "
            "them go first."
        )
        yield Caution("sender_shared", detail % {"messages": _number(found.ahead)})


def _number(value: float, places: int | None = None) -> str:
    return number_format(value, places, force_grouping=True)
