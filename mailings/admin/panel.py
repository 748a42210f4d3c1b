"""The panel of a mailing's page: what is so now, in parts that are kept up to date."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from mailings.admin import labels
from mailings.admin.counts import ZONES_SHOWN, by_zone, done_share, in_words, messages_of, parts
from mailings.admin.headline import Headline, headline
from mailings.admin.reasons import Answers, course, reasons
from mailings.models import Mailing
from mailings.progress import Progress, progress_of
from mailings.statements.proving import last_statement
from mailings.stats import details
from messages_app import waiting
from messages_app.admin.now import SendingNow
from messages_app.ledger.balances import Balances
from messages_app.ledger.timeline import sending_span
from toolkit.console.labels import format_minute, label
from toolkit.console.live import Live
from toolkit.console.numbers import duration, number, rate

TEMPLATES = "admin/mailings/mailing"
SPOKEN = frozenset(["headline"])
MINUTE = timedelta(minutes=1)


class Seen(NamedTuple):
    """A mailing as it was seen at one moment: all that its page says comes from here."""

    mailing: Mailing
    found: Balances
    progress: Progress
    sending: SendingNow

    @property
    def now(self) -> datetime:
        """The moment."""
        return self.sending.now

    @property
    def headline(self) -> Headline:
        """What is so of it, in a word and a sentence."""
        return headline(self.mailing, self.progress, self.sending)


def look_at(mailing: Mailing, sending: SendingNow) -> Seen:
    """Return a mailing as it is now."""
    [(progress, found)] = progress_of([mailing], sending.control, now=sending.now)
    return Seen(mailing, found, progress, sending)


def live_panel(
    seen: Seen,
    *,
    banner: Mapping[str, SafeString],
    buttons: SafeString,
    answers: Answers,
    is_full: bool,
) -> Live:
    """Return the parts of the panel; those that change slowly only if it `is_full`."""
    mailing = seen.mailing
    open_at = reverse("admin:mailings_mailing_panel", args=[mailing.pk])
    parts_now = {
        **banner,
        "headline": _headline(seen),
        "buttons": buttons,
        "numbers": _numbers(seen),
    }
    slowly = _slow_parts(seen, answers) if is_full else {}
    return Live(
        {**parts_now, **slowly},
        address="" if mailing.is_closed else open_at,
        title=_title(seen),
        spoken=SPOKEN,
    )


def _slow_parts(seen: Seen, answers: Answers) -> dict[str, SafeString]:
    return {
        "reasons": reasons(seen.mailing, answers),
        "course": course(seen.mailing),
        "details": _details(seen),
    }


def _title(seen: Seen) -> str:
    """Return what the browser's tab says: how much is done, and of which mailing."""
    return " – ".join(filter(None, [done_share(seen.progress), str(seen.mailing)]))


def _headline(seen: Seen) -> SafeString:
    said = seen.headline
    context = {"said": said, "label": label(said.word, said.colour)}
    return render_to_string(f"{TEMPLATES}/headline.html", context)


def _numbers(seen: Seen) -> SafeString:
    mailing, progress = seen.mailing, seen.progress
    context = {
        "parts": [
            {**part, "href": messages_of(mailing, standing=part["standing"])}
            for part in parts(progress)
        ],
        "in_words": in_words(progress.numbers),
        "total": number(progress.total),
        "all": messages_of(mailing),
        "pace": " · ".join(_pace(seen)),
    }
    return render_to_string(f"{TEMPLATES}/numbers.html", context)


def _pace(seen: Seen) -> list[str]:
    """Return how fast it goes, and since when."""
    mailing, progress, now = seen.mailing, seen.progress, seen.now
    span = sending_span(mailing.pk)
    if mailing.is_closed or progress.is_complete:
        took = span and max(span[1] - span[0], MINUTE)
        return [_("took %(time)s") % {"time": duration(took)}] if took else []
    said = []
    if mailing.is_running and progress.left:
        said.append(_("%(rate)s now") % {"rate": rate(progress.rate)})
    if span:
        said.append(_("for %(time)s") % {"time": duration(max(now - span[0], timedelta()))})
    return said


def _details(seen: Seen) -> SafeString:
    mailing, now = seen.mailing, seen.now
    event = labels.next_event(mailing, now)
    stats: Mapping[str, Any] = details(mailing, seen.found)
    zones = stats["timezones"]
    has_zones = mailing.window is not None or len(zones) > 1
    versions = cast(Mapping[int, int], stats["text_versions"])
    context = {
        "mailing": mailing,
        "hours": labels.hours(mailing.window),
        "next_event": "" if event == seen.headline.text else event,
        "last_run": format_minute(mailing.last_run_time),
        "next_attempt": format_minute(waiting.next_attempt_at(mailing.pk)),
        "is_open": not mailing.is_closed,
        "versions": _versions(mailing, versions) if mailing.text_version > 1 else [],
        "statement": last_statement(mailing) if mailing.is_closed else None,
        "zones": by_zone(mailing, zones, now) if has_zones else [],
        "more_zones": max(0, len(zones) - ZONES_SHOWN) if has_zones else 0,
    }
    return render_to_string(f"{TEMPLATES}/details.html", context)


def _versions(mailing: Mailing, sent: Mapping[int, int]) -> list[dict[str, Any]]:
    """Return how many messages went out with which text, and how each began."""
    texts = dict(mailing.former_texts.values_list("version", "text"))
    texts[mailing.text_version] = mailing.text
    return [
        {"version": version, "number": number(n), "text": labels.excerpt(texts.get(version, ""))}
        for version, n in sent.items()
    ]
