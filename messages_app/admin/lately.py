"""What the page "Sender" shows of the last minutes: the rate, the outcomes, the queue, errors."""

from datetime import datetime, timedelta
from typing import Any

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from messages_app.admin import labels
from messages_app.ledger.accounts import FAIL, RETRY, SUCCESS
from messages_app.ledger.timeline import timeline
from messages_app.models import Attempt, ErrorCode
from messages_app.models.ledger import ALL_MAILINGS
from messages_app.sending import lately, pulse
from messages_app.sending.lately import Waiting
from toolkit.console.chart import MINUTE, Series, draw
from toolkit.console.labels import format_second
from toolkit.console.numbers import number, percent, rate

TEMPLATES = "admin/messages_app/sending"
HOUR = timedelta(hours=1)
ERRORS_SHOWN = 5


def lately_part(now: datetime) -> SafeString:
    """Return the last minutes as a part of the page."""
    outcomes = lately.outcomes_lately(now=now)
    total = sum(outcomes.values())
    queue, waiting = lately.waiting_now(now=now)
    context = {
        "rate": rate(lately.rate_now(now=now)),
        "in_flight": number(pulse.in_flight(now=now)),
        "times": [labels.duration(each) for each in pulse.answer_times(now=now) or ()],
        "waiting": number(waiting),
        "outcomes": [
            {"name": _name(code), "share": percent(n / total), "number": number(n)}
            for code, n in outcomes.items()
        ],
        "queue": [_queued(each, now) for each in queue],
        "errors": [_error(each) for each in lately.last_failures(ERRORS_SHOWN)],
    }
    return render_to_string(f"{TEMPLATES}/lately.html", context)


def last_hour(now: datetime) -> SafeString:
    """Return a chart of the last hour, of all mailings."""
    since = now - HOUR
    points = timeline(ALL_MAILINGS, since=since, until=now, step="minute")
    series = [
        Series(SUCCESS, _("Sent"), "part-sent"),
        Series(RETRY, _("Being retried"), "part-retried"),
        Series(FAIL, _("Failed for good"), "part-failed"),
    ]
    title = _("Messages a minute, of all mailings, in the last hour")
    return draw(points, series, begins_at=since, ends_at=now, width=MINUTE, title=title)


def _name(code: str) -> str:
    """Return an outcome of attempts in words."""
    if not code:
        return _("Accepted")
    return str(ErrorCode(code).label) if code in ErrorCode else code


def _queued(found: Waiting, now: datetime) -> dict[str, Any]:
    since = found.due_since
    return {
        "pk": found.mailing_id,
        "href": reverse("admin:mailings_mailing_change", args=[found.mailing_id]),
        "number": number(found.number),
        "rate": rate(found.rate),
        "age": labels.ago(now - since) if since and since < now else "–",
    }


def _error(attempt: Attempt) -> dict[str, Any]:
    return {
        "at": format_second(attempt.began_at),
        "name": _name(attempt.error_code),
        "error": attempt.error,
        "took": labels.duration(attempt.seconds),
        "http": attempt.http_status or "–",
        "mailing": attempt.message.mailing_id,
        "href": reverse("admin:messages_app_message_change", args=[attempt.message_id]),
    }
